// Twin of assets/cascade/kernel.py: the same algorithms line by line, so that a ratio of times compares compilers only.
// Belongs here: those kernels and the naive round loop. Does not: anything that the Python kernels do not do.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

using i64 = int64_t;

namespace {

enum Shock { START, BASE, SURVIVAL, N_SHOCK };
enum State { FIRST_ROW, REACHED, ROW, ROUNDS, SOLD, N_STATE };

i64 count_reached(const double* triggers, i64 n, double mark, i64 begin) {
    i64 low = begin, high = begin, step = 1;
    while (high < n && triggers[high] >= mark) {
        low = high + 1;
        high += step;
        step *= 16;
    }
    high = std::min(high, n);
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (triggers[middle] >= mark) low = middle + 1;
        else high = middle;
    }
    return low;
}

i64 absorbing_row(const i64* lots, i64 m, i64 eaten, double survival, i64 sold, i64 begin) {
    i64 low = begin, high = begin, step = 1;
    while (high < m && double(sold) > survival * double(lots[high] - eaten)) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    high = std::min(high, m);
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (double(sold) > survival * double(lots[middle] - eaten)) low = middle + 1;
        else high = middle;
    }
    return low;
}

}  // namespace

extern "C" {

void fill_prefixes(const i64* quantities, i64 n, double sold_share, i64* prefixes) {
    i64 *all = prefixes, *sold = prefixes + n + 1;
    all[0] = sold[0] = 0;
    for (i64 k = 0; k < n; ++k) {
        all[k + 1] = all[k] + quantities[k];
        sold[k + 1] = sold[k] + i64(std::floor(sold_share * double(quantities[k])));
    }
}

void merge_scenarios(const double* triggers, i64 n, const i64* sold_prefix, const double* price, const i64* lots, i64 m,
                     const double* shocks, i64 n_scenarios, i64* states) {
    for (i64 s = 0; s < n_scenarios; ++s) {
        const double* shock = shocks + N_SHOCK * s;
        i64* state = states + N_STATE * s;
        double mark = shock[START];
        i64 row = state[FIRST_ROW], reached = 0, rounds = 0;
        const i64 eaten = row > 0 ? lots[row - 1] : 0;
        while (true) {
            const i64 after = count_reached(triggers, n, mark, reached);
            if (after == reached) break;
            ++rounds;
            reached = after;
            if (sold_prefix[reached] == 0) continue;
            row = absorbing_row(lots, m, eaten, shock[SURVIVAL], sold_prefix[reached], row);
            if (row == m) {
                if (reached < n) {
                    ++rounds;
                    reached = n;
                }
                break;
            }
            mark = shock[BASE] * price[row];
        }
        state[REACHED] = reached;
        state[ROW] = sold_prefix[reached] > 0 ? row : -1;
        state[ROUNDS] = rounds;
    }
}

void sweep_scenarios(const double* triggers, i64 n, const i64* sold_prefix, const double* price, const i64* lots, i64 m,
                     const double* shocks, i64 n_scenarios, i64* states) {
    i64 reached = 0, row = 0;
    for (i64 s = 0; s < n_scenarios; ++s) {
        const double* shock = shocks + N_SHOCK * s;
        i64* state = states + N_STATE * s;
        const i64 first = state[FIRST_ROW];
        const i64 eaten = first > 0 ? lots[first - 1] : 0;
        row = std::max(row, first);
        reached = count_reached(triggers, n, shock[START], reached);
        while (sold_prefix[reached] > 0) {
            row = absorbing_row(lots, m, eaten, shock[SURVIVAL], sold_prefix[reached], row);
            if (row == m) {
                reached = n;
                break;
            }
            const i64 after = count_reached(triggers, n, shock[BASE] * price[row], reached);
            if (after == reached) break;
            reached = after;
        }
        state[REACHED] = reached;
        state[ROW] = sold_prefix[reached] > 0 ? row : -1;
    }
}

void value_scenarios(const double* triggers, const double* bankruptcies, i64 n, const i64* prefixes, const double* price,
                     const i64* lots, i64 m, const double* shocks, i64 n_scenarios, const i64* states, double* values) {
    const i64 *all = prefixes, *to_sell = prefixes + n + 1;
    for (i64 s = 0; s < n_scenarios; ++s) {
        const double* shock = shocks + N_SHOCK * s;
        const i64* state = states + N_STATE * s;
        i64 row = state[FIRST_ROW], filled = 0;
        const i64 eaten = row > 0 ? lots[row - 1] : 0, last_row = std::min(state[ROW], m - 1);
        double notional = 0.0, sold_value = 0.0, proceeds = 0.0, shortfall = 0.0;
        for (i64 k = 0; k < state[REACHED]; ++k) {
            notional += triggers[k] * double(all[k + 1] - all[k]);
            const i64 end = std::min(to_sell[k + 1], state[SOLD]), sold = end - filled;
            if (sold <= 0) continue;
            double cost = 0.0, at = double(filled);
            while (at < double(end)) {
                const double row_end = row >= last_row ? double(end) : shock[SURVIVAL] * double(lots[row] - eaten);
                const double until = std::min(row_end, double(end));
                if (until > at) {
                    cost += (until - at) * (shock[BASE] * price[row]);
                    at = until;
                }
                if (at < double(end)) ++row;
            }
            filled = end;
            sold_value += triggers[k] * double(sold);
            proceeds += cost;
            shortfall += std::max(0.0, bankruptcies[k] * double(sold) - cost);
        }
        double* value = values + 4 * s;
        value[0] = notional;
        value[1] = sold_value;
        value[2] = proceeds;
        value[3] = shortfall;
    }
}

void naive_rounds(const double* triggers, const i64* quantities, i64 n, const double* price, const i64* lots, i64 m,
                  const double* shocks, i64 n_scenarios, const i64* first_rows, i64* reached) {
    for (i64 s = 0; s < n_scenarios; ++s) {
        const double* shock = shocks + N_SHOCK * s;
        double mark = shock[START];
        const i64 eaten = first_rows[s] > 0 ? lots[first_rows[s] - 1] : 0;
        std::vector<uint8_t> is_done(n, 0);
        i64 sold = 0, count = 0;
        while (true) {
            const i64 before = count;
            for (i64 k = 0; k < n; ++k) {
                if (!is_done[k] && triggers[k] >= mark) {
                    is_done[k] = 1;
                    sold += quantities[k];
                    ++count;
                }
            }
            if (count == before) break;
            mark = 1.0;
            for (i64 j = 0; j < m; ++j) {
                if (double(sold) <= shock[SURVIVAL] * double(lots[j] - eaten)) {
                    mark = shock[BASE] * price[j];
                    break;
                }
            }
        }
        reached[s] = count;
    }
}

}  // extern "C"
