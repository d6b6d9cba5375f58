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
using u32 = uint32_t;

namespace {

enum Shock { START, BASE, SURVIVAL, N_SHOCK };
enum State { FIRST_ROW, REACHED, ROW, ROUNDS, SOLD, N_STATE };
enum End { END_ROW, TROUGH_ROW, END_ROUNDS, END_REACHED, END_TO_BOOK, END_STANDING, END_ADL, EVER_EXHAUSTED, N_END };

constexpr i64 BINS_PER_OCTAVE = 64, BINS = 1 + 53 * BINS_PER_OCTAVE, SHIFT = 46;
constexpr i64 BLOCK = 112, LINE = 16;
constexpr i64 SHELF_SHIFT = 43, SHELVES = 1 + (i64(53) << (52 - SHELF_SHIFT));
constexpr double TWO_52 = 4503599627370496.0;
constexpr i64 LOW_52 = (i64(1) << 52) - 1;

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
    i32 *place, *notional;
    i64 *part_sum, *unabsorbed;
    i32 *rounds, *shortfall, *part;  // each may be null
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

i64 bits_of(double value) {
    i64 bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

i64 log_bin(double value, i64 shift) {
    return std::min(std::max(1 + (bits_of(value) >> shift) - (i64(1023) << (52 - shift)), i64(0)),
                    i64(53) << (52 - shift));
}

// One draw: lots of the parts [n_parts, n] and of a bucket [n], prefix of what is sold [n + 1].
struct Fuel {
    std::vector<i64> lots, quantities, sold_prefix;

    Fuel(i64 n, i64 n_parts) : lots(n * n_parts), quantities(n), sold_prefix(n + 1) {}

    void fill(const double* part_lots, const double* profile, i64 n, i64 n_parts, double sold_share) {
        std::fill(quantities.begin(), quantities.end(), 0);
        for (i64 g = 0; g < n_parts; ++g) {
            const double size = part_lots[g], *share = profile + g * n;
            i64 *of_part = lots.data() + g * n, *of_bucket = quantities.data();
            for (i64 k = 0; k < n; ++k) {
                const i64 whole = bits_of(std::floor(size * share[k]) + TWO_52) & LOW_52;
                of_part[k] = whole;
                of_bucket[k] += whole;
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

void fill_notional(const double* triggers, const i64* quantities, i64 n, double* notional) {
    double value = 0.0;
    notional[0] = 0.0;
    for (i64 k = 0; k < n; ++k) {
        value += std::fabs(triggers[k]) * double(quantities[k]);
        notional[k + 1] = value;
    }
}

void fill_book(const i64* lots, i64 m, double* depth, u32* shelf) {
    i64 begin = 0;
    for (i64 j = 0; j < m; ++j) {
        depth[j] = double(lots[j]);
        const i64 end = log_bin(depth[j], SHELF_SHIFT) + 1;
        if (end > begin) {
            std::fill(shelf + begin, shelf + end, u32(j));
            begin = end;
        }
    }
    depth[m] = std::numeric_limits<double>::infinity();
    std::fill(shelf + begin, shelf + SHELVES, u32(m));
}

void walk_cells(const i64* sold_prefix, const u32* ends, bool shared, const i64* reach, const double* depth,
                const double* survivals, const Sizes& z, double* to_sell, i64* rows, u32* places, u32* reached) {
    const i64 m = z.m, n_liquidities = z.n_liquidities;
    const i64 *at_start = reach, *untouched = reach + z.n_shocks;
    if (shared)
        for (i64 j = 0; j <= m; ++j) to_sell[j] = double(sold_prefix[ends[j]]);
    std::fill(rows, rows + n_liquidities, 0);
    for (i64 s = 0; s < z.n_shocks; ++s) {
        u32 *place = places + s * n_liquidities, *end_of = reached + s * n_liquidities;
        const i64 first = untouched[s];
        if (sold_prefix[at_start[s]] == 0) {
            std::fill(place, place + n_liquidities, 0);
            std::fill(end_of, end_of + n_liquidities, u32(at_start[s]));
            continue;
        }
        const double eaten = first > 0 ? depth[first - 1] : 0.0;
        const u32* end = ends + (shared ? 0 : s * (m + 1));
        i64 row = first;
        for (i64 w = 0; w < n_liquidities; ++w) {
            const double survival = survivals[w];
            row = std::max(row, rows[w]);
            if (shared) {
                while (to_sell[row] > survival * (depth[row] - eaten)) ++row;
            } else {
                while (double(sold_prefix[end[row]]) > survival * (depth[row] - eaten)) ++row;
            }
            rows[w] = row;
            place[w] = u32(row + 1);
            end_of[w] = end[row];
        }
    }
}

struct Play {
    std::vector<double> eaten, per_survival;
    std::vector<u32> active;

    explicit Play(const Sizes& z)
        : eaten(z.n_shocks), per_survival(z.n_liquidities), active(z.n_shocks * z.n_liquidities + 1) {}
};

void play_cells(const i64* sold_prefix, const u32* ends, bool shared, const i64* reach, const double* depth,
                const u32* shelf, const double* survivals, const u32* shock_of, const u32* liquidity_of,
                const Sizes& z, Play& x, u32* places, u32* reached, u32* rounds) {
    const i64 m = z.m, n_cells = z.n_shocks * z.n_liquidities;
    const i64 *at_start = reach, *untouched = reach + z.n_shocks;
    for (i64 s = 0; s < z.n_shocks; ++s) x.eaten[s] = untouched[s] > 0 ? depth[untouched[s] - 1] : 0.0;
    for (i64 w = 0; w < z.n_liquidities; ++w)
        x.per_survival[w] = (1.0 / survivals[w]) * (1.0 - std::ldexp(1.0, -50));
    i64 n_active = 0;
    for (i64 c = 0; c < n_cells; ++c) {
        const i64 start = at_start[shock_of[c]];
        const bool is_selling = sold_prefix[start] > 0;
        reached[c] = u32(start);
        rounds[c] = start > 0;
        places[c] = is_selling ? u32(untouched[shock_of[c]]) : 0;
        x.active[n_active] = u32(c);
        n_active += is_selling;
    }
    while (n_active > 0) {
        i64 still = 0;
        for (i64 i = 0; i < n_active; ++i) {
            const u32 c = x.active[i], s = shock_of[c], w = liquidity_of[c], before = reached[c];
            const double sold = double(sold_prefix[before]);
            u32 row = std::max(places[c], shelf[log_bin(sold * x.per_survival[w] + x.eaten[s], SHELF_SHIFT)]);
            while (sold > survivals[w] * (depth[row] - x.eaten[s])) ++row;
            const u32 after = ends[(shared ? 0 : s * (m + 1)) + row];
            places[c] = row;
            reached[c] = after;
            const bool is_new = after > before;
            rounds[c] += is_new;
            x.active[still] = c;
            still += is_new;
        }
        n_active = still;
    }
    for (i64 c = 0; c < n_cells; ++c) places[c] += sold_prefix[reached[c]] > 0;
}

void add_parts(const i64* lots, const u32* reached, i64* prefix, const Sizes& z, i64* part_sum, i32* part_count) {
    const i64 n = z.n, n_cells = z.n_shocks * z.n_liquidities;
    prefix[0] = 0;
    for (i64 g = 0; g < z.n_parts; ++g) {
        i64 together = 0;
        for (i64 k = 0; k < n; ++k) {
            together += lots[g * n + k];
            prefix[k + 1] = together;
        }
        i64* sums = part_sum + g * n_cells;
        for (i64 c = 0; c < n_cells; ++c) sums[c] += prefix[reached[c]];
        if (part_count)
            for (i64 c = 0; c < n_cells; ++c)
                part_count[(c * z.n_parts + g) * BINS + log_bin(double(prefix[reached[c]]), SHIFT)] += 1;
    }
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
                const double* price, const i64* draws, const double* shocks, const i64* reach, const u32* ends,
                double money_unit, const Sizes* sizes, bool with_rounds, bool with_shortfall, bool with_parts,
                const Counts* out) {
    const Sizes z = *sizes;
    const i64 n = z.n, m = z.m, n_parts = z.n_parts, n_cells = z.n_shocks * z.n_liquidities;
    const i64* untouched = reach + z.n_shocks;
    const bool shared = z.n_counts == 1;
    Fuel fuel(n, n_parts);
    Play play(z);
    std::vector<double> notional(n + 1), to_sell(m + 1), depth(m + 1);
    std::vector<i64> prefix(n + 1), rows(z.n_liquidities);
    const i64 stride = n_cells + LINE;
    std::vector<u32> shelf(SHELVES), reached(n_cells), noted(3 * BLOCK * stride);
    std::vector<u32> shock_of(n_cells), liquidity_of(n_cells);
    for (i64 c = 0; c < n_cells; ++c) {
        shock_of[c] = u32(c / z.n_liquidities);
        liquidity_of[c] = u32(c % z.n_liquidities);
    }
    u32 *place_of = noted.data(), *bin_in = place_of + BLOCK * stride, *rounds_of = bin_in + BLOCK * stride;
    i64 h = -1;
    for (i64 begin = 0; begin < z.n_draws; begin += BLOCK) {
        const i64 size = std::min(BLOCK, z.n_draws - begin);
        for (i64 b = 0; b < size; ++b) {
            const i64 d = draws[begin + b];
            if (drawn->book_index[d] != h) {
                h = drawn->book_index[d];
                fill_book(drawn->lots + h * m, m, depth.data(), shelf.data());
            }
            u32 *places = place_of + b * stride, *bins = bin_in + b * stride, *rounds = rounds_of + b * stride;
            const double* survivals = drawn->survivals + d * z.n_liquidities;
            const double* profile = drawn->profiles + drawn->profile_index[d] * n_parts * n;
            fuel.fill(drawn->part_lots + d * n_parts, profile, n, n_parts, sold_share);
            const i64* sold_prefix = fuel.sold_prefix.data();
            fill_notional(triggers, fuel.quantities.data(), n, notional.data());
            if (with_rounds)
                play_cells(sold_prefix, ends, shared, reach, depth.data(), shelf.data(), survivals, shock_of.data(),
                           liquidity_of.data(), z, play, places, reached.data(), rounds);
            else
                walk_cells(sold_prefix, ends, shared, reach, depth.data(), survivals, z, to_sell.data(), rows.data(),
                           places, reached.data());
            add_parts(fuel.lots.data(), reached.data(), prefix.data(), z, out->part_sum,
                      with_parts ? out->part : nullptr);
            for (i64 c = 0; c < n_cells; ++c) bins[c] = u32(log_bin(notional[reached[c]] / money_unit, SHIFT));
            for (i64 c = 0; c < n_cells; ++c) {
                if (places[c] > m) {
                    const i64 first = untouched[shock_of[c]];
                    const double eaten = first > 0 ? depth[first - 1] : 0.0;
                    const i64 holds = i64(std::floor(survivals[liquidity_of[c]] * (depth[m - 1] - eaten)));
                    out->unabsorbed[c] += sold_prefix[n] - std::min(sold_prefix[n], holds);
                }
            }
            if (!with_shortfall) continue;
            const i64* lots = drawn->lots + h * m;
            for (i64 c = 0; c < n_cells; ++c) {
                const i64 s = shock_of[c], first = untouched[s], eaten = first > 0 ? lots[first - 1] : 0;
                const i64 place = places[c];
                const double survival = survivals[liquidity_of[c]];
                i64 sold = sold_prefix[reached[c]];
                if (place > m) sold = std::min(sold, i64(std::floor(survival * double(lots[m - 1] - eaten))));
                const double lost =
                    shortfall_of(bankruptcies, reached[c], sold_prefix, sold, first, std::min(place - 1, m - 1),
                                 shocks[N_SHOCK * s + BASE], survival, eaten, price, lots);
                out->shortfall[c * BINS + log_bin(lost / money_unit, SHIFT)] += 1;
            }
        }
        for (i64 c = 0; c < n_cells; ++c) {
            for (i64 b = 0; b < size; ++b) {
                out->place[c * (m + 2) + place_of[b * stride + c]] += 1;
                out->notional[c * BINS + bin_in[b * stride + c]] += 1;
            }
            if (with_rounds)
                for (i64 b = 0; b < size; ++b)
                    out->rounds[c * BINS + log_bin(double(rounds_of[b * stride + c]), SHIFT)] += 1;
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
        forced_lots[0] = 0;
        for (i64 k = 0; k < n; ++k) forced_lots[k + 1] = forced_lots[k] + fuel.quantities[k];
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
