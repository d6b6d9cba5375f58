// Twin of the grid and of the round loop in assets/cascade/kernel.py: the same algorithms line by line, so that a ratio of times
// compares compilers only. Belongs here: those kernels. Does not: anything that the Python kernels do not do.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

using i64 = int64_t;
using i32 = int32_t;

namespace {

enum Shock { START, BASE, SURVIVAL, N_SHOCK };
enum State { FIRST_ROW, REACHED, ROW, ROUNDS, SOLD, N_STATE };
enum End { END_ROW, TROUGH_ROW, END_ROUNDS, END_REACHED, END_TO_BOOK, END_STANDING, END_ADL, EVER_EXHAUSTED, N_END };

constexpr i64 BINS_PER_OCTAVE = 64, BINS = 1 + 53 * BINS_PER_OCTAVE, SHIFT = 46, BITS_OF_ONE = 1023 * BINS_PER_OCTAVE;
constexpr i64 BLOCK = 256;

// Structs of arrays and of whole numbers, in the order of the named tuples and `sizes` of bench_grid.py.
struct Sizes {
    i64 n, n_parts, n_draws, m, n_shocks, n_liquidities, n_counts;
};
struct Drawn {
    const double* profiles;
    const i64* profile_index;
    const double* part_lots;
    const i64* lots;
    const i64* book_index;
    const double* survivals;
};
struct Counts {
    i64 *place, *notional, *part_sum, *unabsorbed, *rounds, *shortfall, *part;  // the last three may be null
};

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

void sweep(const double* triggers, i64 n, const i64* sold_prefix, const double* price, const i64* lots, i64 m,
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

// One draw: prefix of the parts' lots [n + 1, n_parts], of what is sold [n + 1], lots per bucket [n].
struct Fuel {
    std::vector<i64> part_prefix, sold_prefix, quantities;

    Fuel(i64 n, i64 n_parts) : part_prefix((n + 1) * n_parts), sold_prefix(n + 1), quantities(n) {}

    void fill(const double* part_lots, const double* profile, i64 n, i64 n_parts, double sold_share) {
        std::fill(quantities.begin(), quantities.end(), 0);
        for (i64 g = 0; g < n_parts; ++g) {
            const double size = part_lots[g];
            i64 together = 0;
            part_prefix[g] = 0;
            for (i64 k = 0; k < n; ++k) {
                const i64 lots = i64(std::floor(size * profile[g * n + k]));
                together += lots;
                part_prefix[(k + 1) * n_parts + g] = together;
                quantities[k] += lots;
            }
        }
        i64 together = 0;
        sold_prefix[0] = 0;
        for (i64 k = 0; k < n; ++k) {
            together += sold_share == 1.0 ? quantities[k] : i64(std::floor(sold_share * double(quantities[k])));
            sold_prefix[k + 1] = together;
        }
    }
};

i64 bin_of(double value) {
    i64 bits;
    std::memcpy(&bits, &value, sizeof bits);
    return std::min(std::max(1 + (bits >> SHIFT) - BITS_OF_ONE, i64(0)), BINS - 1);
}

void fill_notional_bins(const double* triggers, const i64* quantities, i64 n, double money_unit, double* notional,
                        i64* bins) {
    double value = 0.0;
    notional[0] = 0.0;
    for (i64 k = 0; k < n; ++k) {
        value += std::fabs(triggers[k]) * double(quantities[k]);
        notional[k + 1] = value;
    }
    for (i64 k = 0; k <= n; ++k) bins[k] = bin_of(notional[k] / money_unit);
}

void fill_places(const i64* sold_prefix, const i64* counts, bool shared, const i64* reach, const i64* lots,
                 const double* survivals, const Sizes& z, double* to_sell, double* depth, i64* rows, i32* places) {
    const i64 m = z.m, n_liquidities = z.n_liquidities;
    const i64 *at_start = reach, *untouched = reach + z.n_shocks;
    for (i64 j = 0; j < m; ++j) {
        to_sell[j] = double(sold_prefix[counts[j]]);
        depth[j] = double(lots[j]);
    }
    std::fill(rows, rows + n_liquidities, 0);
    for (i64 s = 0; s < z.n_shocks; ++s) {
        i32* place = places + s * n_liquidities;
        const i64 first = untouched[s];
        if (sold_prefix[at_start[s]] == 0) {
            std::fill(place, place + n_liquidities, 0);
            continue;
        }
        const double eaten = first > 0 ? depth[first - 1] : 0.0;
        const i64* count = counts + s * m;
        i64 row = first;
        for (i64 w = 0; w < n_liquidities; ++w) {
            const double survival = survivals[w];
            row = std::max(row, rows[w]);
            if (shared) {
                while (row < m && to_sell[row] > survival * (depth[row] - eaten)) ++row;
            } else {
                while (row < m && double(sold_prefix[count[row]]) > survival * (depth[row] - eaten)) ++row;
            }
            rows[w] = row;
            place[w] = i32(row + 1);
        }
    }
}

i64 count_rounds(const i64* sold_prefix, i64 n, const i64* count, i64 reached, i64 row, i64 eaten, double survival,
                 const i64* lots, i64 m) {
    i64 rounds = 0, before = 0;
    while (reached > before) {
        ++rounds;
        if (sold_prefix[reached] == 0) break;
        row = absorbing_row(lots, m, eaten, survival, sold_prefix[reached], row);
        before = reached;
        reached = row == m ? n : count[row];
    }
    return rounds;
}

double shortfall_of(const double* bankruptcies, i64 reached, const i64* sold_prefix, i64 sold_total, i64 row,
                    i64 last_row, double base, double survival, i64 eaten, const double* price, const i64* lots) {
    i64 filled = 0;
    double shortfall = 0.0;
    for (i64 k = 0; k < reached; ++k) {
        const i64 end = std::min(sold_prefix[k + 1], sold_total);
        if (end <= filled) continue;
        double cost = 0.0, at = double(filled);
        while (at < double(end)) {
            const double row_end = row >= last_row ? double(end) : survival * double(lots[row] - eaten);
            const double until = std::min(row_end, double(end));
            if (until > at) {
                cost += (until - at) * (base * price[row]);
                at = until;
            }
            if (at < double(end)) ++row;
        }
        shortfall += std::max(0.0, bankruptcies[k] * double(end - filled) - cost);
        filled = end;
    }
    return shortfall;
}

}  // namespace

extern "C" {

void count_grid(const double* triggers, const double* bankruptcies, const Drawn* drawn, double sold_share,
                const double* price, const double* shocks, const i64* reach, const i64* counts, double money_unit,
                const Sizes* sizes, bool with_rounds, bool with_shortfall, bool with_parts, const Counts* out) {
    const Sizes z = *sizes;
    const i64 n = z.n, m = z.m, n_parts = z.n_parts, n_cells = z.n_shocks * z.n_liquidities;
    const i64 *at_start = reach, *untouched = reach + z.n_shocks;
    const bool shared = z.n_counts == 1;
    Fuel fuel(n, n_parts);
    std::vector<double> notional(n + 1), to_sell(m), depth(m);
    std::vector<i64> notional_bins(n + 1), rows(z.n_liquidities);
    std::vector<i32> places(BLOCK * n_cells), bins(BLOCK * n_cells);
    for (i64 begin = 0; begin < z.n_draws; begin += BLOCK) {
        const i64 size = std::min(BLOCK, z.n_draws - begin);
        for (i64 b = 0; b < size; ++b) {
            const i64 d = begin + b;
            const i64* lots = drawn->lots + drawn->book_index[d] * m;
            const double* survivals = drawn->survivals + d * z.n_liquidities;
            const double* profile = drawn->profiles + drawn->profile_index[d] * n_parts * n;
            fuel.fill(drawn->part_lots + d * n_parts, profile, n, n_parts, sold_share);
            const i64* sold_prefix = fuel.sold_prefix.data();
            fill_notional_bins(triggers, fuel.quantities.data(), n, money_unit, notional.data(), notional_bins.data());
            i32 *place_of = places.data() + b * n_cells, *bin_in = bins.data() + b * n_cells;
            fill_places(sold_prefix, counts, shared, reach, lots, survivals, z, to_sell.data(), depth.data(),
                        rows.data(), place_of);
            for (i64 s = 0; s < z.n_shocks; ++s) {
                const i64 first = untouched[s], eaten = first > 0 ? lots[first - 1] : 0;
                const i64* count = counts + (shared ? 0 : s * m);
                for (i64 w = 0; w < z.n_liquidities; ++w) {
                    const i64 cell = s * z.n_liquidities + w, place = place_of[cell];
                    i64 reached = at_start[s];
                    if (place > m) {
                        reached = n;
                        const i64 holds = i64(std::floor(survivals[w] * double(lots[m - 1] - eaten)));
                        out->unabsorbed[cell] += sold_prefix[n] - std::min(sold_prefix[n], holds);
                    } else if (place > 0) {
                        reached = count[place - 1];
                    }
                    bin_in[cell] = i32(notional_bins[reached]);
                    for (i64 g = 0; g < n_parts; ++g)
                        out->part_sum[cell * n_parts + g] += fuel.part_prefix[reached * n_parts + g];
                }
            }
            if (!(with_rounds || with_shortfall || with_parts)) continue;
            for (i64 s = 0; s < z.n_shocks; ++s) {
                const i64 first = untouched[s], eaten = first > 0 ? lots[first - 1] : 0;
                const i64* count = counts + (shared ? 0 : s * m);
                for (i64 w = 0; w < z.n_liquidities; ++w) {
                    const i64 cell = s * z.n_liquidities + w, place = place_of[cell];
                    const i64 reached = place == 0 ? at_start[s] : place > m ? n : count[place - 1];
                    if (with_rounds) {
                        const i64 rounds =
                            count_rounds(sold_prefix, n, count, at_start[s], first, eaten, survivals[w], lots, m);
                        out->rounds[cell * BINS + bin_of(double(rounds))] += 1;
                    }
                    if (with_shortfall) {
                        i64 sold = sold_prefix[reached];
                        if (place > m)
                            sold = std::min(sold, i64(std::floor(survivals[w] * double(lots[m - 1] - eaten))));
                        const double lost =
                            shortfall_of(bankruptcies, reached, sold_prefix, sold, first, std::min(place - 1, m - 1),
                                         shocks[N_SHOCK * s + BASE], survivals[w], eaten, price, lots);
                        out->shortfall[cell * BINS + bin_of(lost / money_unit)] += 1;
                    }
                    if (with_parts) {
                        for (i64 g = 0; g < n_parts; ++g) {
                            const double lots_of_part = double(fuel.part_prefix[reached * n_parts + g]);
                            out->part[(cell * n_parts + g) * BINS + bin_of(lots_of_part)] += 1;
                        }
                    }
                }
            }
        }
        for (i64 cell = 0; cell < n_cells; ++cell) {
            for (i64 b = 0; b < size; ++b) {
                out->place[cell * (m + 2) + places[b * n_cells + cell]] += 1;
                out->notional[cell * BINS + bins[b * n_cells + cell]] += 1;
            }
        }
    }
}

void find_critical(const double* triggers, const Drawn* drawn, double sold_share, const double* price,
                   const double* shock_frac, double* shocks, i64* states, const double* rule, const double* floors,
                   const Sizes* sizes, i32* found) {
    const Sizes z = *sizes;
    const i64 n = z.n, m = z.m, n_parts = z.n_parts;
    const double mark = rule[0], least_shock = rule[1], least_gain = rule[2], least_forced = rule[3];
    const double open_interest = rule[4];
    Fuel fuel(n, n_parts);
    std::vector<i64> forced_lots(n + 1);
    for (i64 d = 0; d < z.n_draws; ++d) {
        const i64* lots = drawn->lots + drawn->book_index[d] * m;
        const double* profile = drawn->profiles + drawn->profile_index[d] * n_parts * n;
        fuel.fill(drawn->part_lots + d * n_parts, profile, n, n_parts, sold_share);
        for (i64 k = 0; k <= n; ++k) {
            forced_lots[k] = 0;
            for (i64 g = 0; g < n_parts; ++g) forced_lots[k] += fuel.part_prefix[k * n_parts + g];
        }
        for (i64 w = 0; w < z.n_liquidities; ++w) {
            for (i64 s = 0; s < z.n_shocks; ++s)
                shocks[N_SHOCK * s + SURVIVAL] = drawn->survivals[d * z.n_liquidities + w];
            sweep(triggers, n, fuel.sold_prefix.data(), price, lots, m, shocks, z.n_shocks, states);
            i32 soft = -1, jump = -1;
            double move_before = std::numeric_limits<double>::quiet_NaN();
            for (i64 s = 0; s < z.n_shocks; ++s) {
                const double* shock = shocks + N_SHOCK * s;
                const i64 row = states[N_STATE * s + ROW], reached = states[N_STATE * s + REACHED];
                double end = row < 0 ? shock[START] : row == m ? floors[s] : shock[BASE] * price[row];
                const double move = std::fabs(1.0 - end / mark);
                const double forced = double(forced_lots[reached]) / open_interest;
                if (shock_frac[s] >= least_shock && forced >= least_forced) {
                    if (soft < 0 && move - shock_frac[s] >= std::max(shock_frac[s], least_gain)) soft = i32(s);
                    const double rise = move - move_before;
                    if (jump < 0 && s > 0 && rise - (shock_frac[s] - shock_frac[s - 1]) >= least_gain) jump = i32(s);
                    if (soft >= 0 && jump >= 0) break;
                }
                move_before = move;
            }
            found[2 * (d * z.n_liquidities + w)] = soft;
            found[2 * (d * z.n_liquidities + w) + 1] = jump;
        }
    }
}

void fill_branching(const Drawn* drawn, double sold_share, const i64* reached, const i64* rows, i64 n_windows,
                    const Sizes* sizes, double* branching) {
    const Sizes z = *sizes;
    Fuel fuel(z.n, z.n_parts);
    for (i64 d = 0; d < z.n_draws; ++d) {
        const i64* lots = drawn->lots + drawn->book_index[d] * z.m;
        const double* profile = drawn->profiles + drawn->profile_index[d] * z.n_parts * z.n;
        fuel.fill(drawn->part_lots + d * z.n_parts, profile, z.n, z.n_parts, sold_share);
        for (i64 i = 0; i < n_windows; ++i) {
            const i64 burnt = fuel.sold_prefix[reached[i + 1]] - fuel.sold_prefix[reached[i]];
            const i64 deep = rows[i + 1] > 0 ? lots[rows[i + 1] - 1] : 0, near = rows[i] > 0 ? lots[rows[i] - 1] : 0;
            for (i64 w = 0; w < z.n_liquidities; ++w) {
                const i64 at = d * z.n_liquidities + w;
                branching[at * n_windows + i] = deep > near ? double(burnt) / (drawn->survivals[at] * double(deep - near))
                                                            : std::numeric_limits<double>::quiet_NaN();
            }
        }
    }
}

void play_rounds(const double* triggers, const double* bankruptcies, const i64* prefixes, i64 n, const double* price,
                 const i64* lots, i64 m, const double* shocks, const i64* first_rows, const double* floors,
                 i64 n_scenarios, double fund, double replenishment, i64* ends, double* used) {
    const i64* to_sell = prefixes + n + 1;
    for (i64 s = 0; s < n_scenarios; ++s) {
        const double* shock = shocks + N_SHOCK * s;
        const double base = shock[BASE], survival = shock[SURVIVAL];
        const i64 first = first_rows[s], eaten = first > 0 ? lots[first - 1] : 0;
        double mark = shock[START], left = fund;
        i64 row = -1, trough = -1, reached = 0, rounds = 0, standing = 0, to_book = 0, adl = 0;
        bool exhausted = false;
        while (true) {
            const i64 after = row == m ? n : count_reached(triggers, n, mark, reached);
            if (after == reached) break;
            ++rounds;
            standing -= i64(std::floor(replenishment * double(standing)));
            for (i64 k = reached; k < after; ++k) {
                const i64 bucket = to_sell[k + 1] - to_sell[k];
                const double loss = bankruptcies[k] - mark;
                i64 sale = bucket;
                if (loss > 0.0) {
                    if (loss * double(bucket) <= left) {
                        left -= loss * double(bucket);
                    } else {
                        sale = std::min(bucket, i64(std::floor(left / loss)));
                        left = std::max(0.0, left - loss * double(sale));
                    }
                }
                adl += bucket - sale;
                standing += sale;
                to_book += sale;
            }
            reached = after;
            if (standing == 0) {
                row = -1;
                mark = shock[START];
            } else {
                row = absorbing_row(lots, m, eaten, survival, standing, first);
                mark = row == m ? floors[s] : base * price[row];
            }
            exhausted = exhausted || row == m;
            trough = std::max(trough, row);
        }
        i64* end = ends + N_END * s;
        end[END_ROW] = row;
        end[TROUGH_ROW] = trough;
        end[END_ROUNDS] = rounds;
        end[END_REACHED] = reached;
        end[END_TO_BOOK] = to_book;
        end[END_STANDING] = standing;
        end[END_ADL] = adl;
        end[EVER_EXHAUSTED] = exhausted;
        used[s] = std::isfinite(fund) ? fund - left : 0.0;
    }
}

}  // extern "C"
