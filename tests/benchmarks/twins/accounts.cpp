// Twin of assets/cascade/kernel_accounts.py: the same algorithms line by line, so that a ratio of times compares compilers
// only. Belongs here: those kernels. Does not: anything that the Python kernels do not do.
// A struct mirrors the NamedTuple of the same name, field by field: one pointer per array.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

using i64 = int64_t;
using u64 = uint64_t;

namespace {

constexpr i64 LEVELS = 256, MASK_BITS = 64, BLOCK_ACCOUNTS = 16, CELLS = 128;
constexpr double MARGIN_FRAC = 1e-9, MARGIN_PER_POSITION_FRAC = 1e-15, MAX_INDEXED_RATE_FRAC = 0.9, ANCHOR_REACH_FRAC = 0.005;
constexpr double INF = std::numeric_limits<double>::infinity();

enum Position { ASSET, QUANTITY, ENTRY, REQUIREMENT, N_POSITION };
enum Lots { SALES, PURCHASES, NETTED, NET, EXHAUSTED, N_LOTS };
enum Price { MARK, LOWEST, HIGHEST, NOTIONAL, N_PRICE };
enum Count { LIQUIDATED, ROUNDS, BAD_DEBTS, N_COUNT };

struct Ledger {
    double* collateral;
    i64* first_position;
    double* positions;
    i64* place;
};

struct Books {
    i64* first_row;
    double* relative_price;
    double* cumulative_lots;
};

struct Scratch {
    i64 *net, *sales, *purchases;
    double* marks;
    i64* found;
    double* partials;
    bool* is_alive;
};

struct Index {
    u64 *long_mask, *short_mask;
    double *per_slack, *margin;
    i64 *block_first, *block_level;
    u64 *block_long, *block_short;
    i64* blocks_to_level;
    double *thresholds, *reference;
};

struct Watch {
    double *limit, *block_limit;
    u64 *block_down, *block_up;
    i64 *opened, *n_opened;
    u64 *down, *up, *near_down, *near_up;
    double *anchor, *falls, *travelled;
};

struct Rows {
    double* prices;
    i64 *lots, *counts;
    double* bad_debt;
    int32_t* died;
};

struct Sizes {
    i64 n_accounts, n_assets, n_kept_rows;
};

inline void judge(const Ledger& l, i64 i, const double* marks, double& equity, double& maintenance) {
    equity = l.collateral[i];
    maintenance = 0.0;
    for (i64 k = l.first_position[i]; k < l.first_position[i + 1]; ++k) {
        const double* p = l.positions + N_POSITION * k;
        const double mark = marks[i64(p[ASSET])];
        equity += p[QUANTITY] * (mark - p[ENTRY]);
        maintenance += p[REQUIREMENT] * mark;
    }
}

void move_marks(const Books& b, const double* shocked, double survival, const Scratch& s, const Rows& rows, i64 row, i64 m) {
    for (i64 a = 0; a < m; ++a) {
        const i64 net = s.net[a];
        double* price = rows.prices + (row * m + a) * N_PRICE;
        double mark = shocked[a];
        if (net != 0) {
            const double lots = double(net < 0 ? -net : net);
            const i64 book = net > 0 ? 2 * a : 2 * a + 1, end = b.first_row[book + 1];
            i64 low = b.first_row[book], high = end;
            while (low < high) {
                const i64 middle = (low + high) / 2;
                if (lots <= survival * b.cumulative_lots[middle]) high = middle;
                else low = middle + 1;
            }
            mark = shocked[a] * b.relative_price[std::min(low, end - 1)];
            if (low == end) {
                rows.lots[(row * m + a) * N_LOTS + EXHAUSTED] = 1;
                if (net > 0) mark = std::min(1.0, mark);
            }
        }
        s.marks[a] = mark;
        price[MARK] = mark;
        price[LOWEST] = std::min(price[LOWEST], mark);
        price[HIGHEST] = std::max(price[HIGHEST], mark);
    }
}

i64 add_exactly(double* partials, i64 count, double value) {
    i64 kept = 0;
    for (i64 j = 0; j < count; ++j) {
        double other = partials[j];
        if (std::fabs(value) < std::fabs(other)) std::swap(value, other);
        const double high = value + other, low = other - (high - value);
        if (low != 0.0) partials[kept++] = low;
        value = high;
    }
    partials[kept] = value;
    return kept + 1;
}

double rounded(const double* partials, i64 count) {
    if (count == 0) return 0.0;
    i64 j = count - 1;
    double high = partials[j], low = 0.0;
    while (j > 0 && low == 0.0) {
        --j;
        const double before = high;
        high = before + partials[j];
        low = partials[j] - (high - before);
    }
    if (j > 0 && ((low < 0.0 && partials[j - 1] < 0.0) || (low > 0.0 && partials[j - 1] > 0.0))) {
        const double doubled = low * 2.0, raised = high + doubled;
        if (doubled == raised - high) high = raised;
    }
    return high;
}

i64 close_found(const Ledger& l, const Books& b, const double* shocked, double survival, const Scratch& s, i64 n_found,
                i64 n_partials, const Rows& rows, i64 row, i64 m) {
    std::fill_n(s.sales, m, 0);
    std::fill_n(s.purchases, m, 0);
    for (i64 f = 0; f < n_found; ++f) {
        const i64 i = s.found[f];
        for (i64 k = l.first_position[i]; k < l.first_position[i + 1]; ++k) {
            const i64 a = i64(l.positions[N_POSITION * k + ASSET]), lots = i64(l.positions[N_POSITION * k + QUANTITY]);
            if (lots > 0) s.sales[a] += lots;
            else s.purchases[a] -= lots;
        }
    }
    for (i64 a = 0; a < m; ++a) {
        const i64 sales = s.sales[a], purchases = s.purchases[a];
        i64* lots = rows.lots + (row * m + a) * N_LOTS;
        rows.prices[(row * m + a) * N_PRICE + NOTIONAL] += double(sales + purchases) * s.marks[a];
        lots[SALES] += sales;
        lots[PURCHASES] += purchases;
        lots[NETTED] += std::min(sales, purchases);
        s.net[a] += sales - purchases;
        lots[NET] = s.net[a];
    }
    move_marks(b, shocked, survival, s, rows, row, m);
    i64* counts = rows.counts + row * N_COUNT;
    for (i64 f = 0; f < n_found; ++f) {
        double equity, maintenance;
        judge(l, s.found[f], s.marks, equity, maintenance);
        if (equity < 0.0) {
            n_partials = add_exactly(s.partials, n_partials, -equity);
            ++counts[BAD_DEBTS];
        }
    }
    counts[LIQUIDATED] += n_found;
    ++counts[ROUNDS];
    return n_partials;
}

void open_row(const Books& b, const double* shocked, double survival, const Scratch& s, const Rows& rows, i64 row, i64 m) {
    for (i64 a = 0; a < m; ++a) {
        rows.prices[(row * m + a) * N_PRICE + LOWEST] = INF;
        rows.prices[(row * m + a) * N_PRICE + HIGHEST] = -INF;
        rows.lots[(row * m + a) * N_LOTS + NET] = s.net[a];
    }
    move_marks(b, shocked, survival, s, rows, row, m);
}

void stamp(const Ledger& l, const Scratch& s, i64 n_found, const Rows& rows, i64 row, bool is_path, const Sizes& z) {
    if (z.n_kept_rows == 0) return;
    const i64 line = is_path ? 0 : row, when = is_path ? row : rows.counts[row * N_COUNT + ROUNDS];
    for (i64 f = 0; f < n_found; ++f) rows.died[line * z.n_accounts + l.place[s.found[f]]] = int32_t(when);
}

i64 find_naive(const Ledger& l, const Scratch& s, i64 n) {
    i64 n_found = 0;
    for (i64 i = 0; i < n; ++i) {
        if (!s.is_alive[i]) continue;
        double equity, maintenance;
        judge(l, i, s.marks, equity, maintenance);
        if (equity < maintenance) {
            s.found[n_found++] = i;
            s.is_alive[i] = false;
        }
    }
    return n_found;
}

i64 count_below(const double* thresholds, double move) {
    i64 low = 0, high = LEVELS;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (thresholds[middle] >= move) high = middle;
        else low = middle + 1;
    }
    return low;
}

inline i64 cell_of(double distance) {
    const double cell = (distance + ANCHOR_REACH_FRAC) * ((CELLS - 1) / (2.0 * ANCHOR_REACH_FRAC));
    return i64(std::min(std::max(cell, 0.0), double(CELLS)));
}

inline u64 bit_of(i64 a) { return u64(1) << u64(a % MASK_BITS); }

i64 note_levels(const Index& x, const double* marks, const Watch& w, i64 m) {
    i64 top = 1;
    std::fill_n(w.down, LEVELS, 0);
    std::fill_n(w.up, LEVELS, 0);
    for (i64 a = 0; a < m; ++a) {
        const double move = marks[a] / x.reference[a] - 1.0;
        const i64 level = count_below(x.thresholds, std::fabs(move));
        if (level == 0) continue;
        (move < 0.0 ? w.down : w.up)[level - 1] |= bit_of(a);
        top = std::max(top, level);
    }
    for (i64 level = top - 2; level >= 0; --level) {
        w.down[level] |= w.down[level + 1];
        w.up[level] |= w.up[level + 1];
    }
    w.down[0] = w.up[0] = ~u64(0);
    return top;
}

double note_moves(const Index& x, const double* marks, const Watch& w, i64 m) {
    double distance = 0.0;
    for (i64 a = 0; a < m; ++a) distance = std::max(distance, std::fabs(w.anchor[a] - marks[a]) / x.reference[a]);
    if (distance > ANCHOR_REACH_FRAC) {
        w.travelled[0] += distance;
        std::copy_n(marks, m, w.anchor);
        distance = 0.0;
    }
    std::fill_n(w.near_down, CELLS + 1, 0);
    std::fill_n(w.near_up, CELLS + 1, 0);
    for (i64 a = 0; a < m; ++a) {
        w.falls[a] = (w.anchor[a] - marks[a]) / x.reference[a];
        w.near_down[cell_of(w.falls[a])] |= bit_of(a);
        w.near_up[cell_of(-w.falls[a])] |= bit_of(a);
    }
    for (i64 c = CELLS - 1; c >= 0; --c) {
        w.near_down[c] |= w.near_down[c + 1];
        w.near_up[c] |= w.near_up[c + 1];
    }
    return w.travelled[0] + distance;
}

inline double best_placed(const Ledger& l, i64 i, const double* falls) {
    double best = INF;
    for (i64 k = l.first_position[i]; k < l.first_position[i + 1]; ++k) {
        const double* p = l.positions + N_POSITION * k;
        const double fall = falls[i64(p[ASSET])];
        if (p[QUANTITY] > 0.0) best = std::min(best, fall);
        else if (p[QUANTITY] < 0.0) best = std::min(best, -fall);
    }
    return best;
}

i64 find_masked(const Ledger& l, const Index& x, const Scratch& s, const Watch& w, i64 m) {
    const i64 n_levels = note_levels(x, s.marks, w, m);
    const double beyond = note_moves(x, s.marks, w, m), travelled = w.travelled[0], scale = 2.0 + travelled;
    i64 n_opened = w.n_opened[0], n_found = 0;
    for (i64 block = 0; block < x.blocks_to_level[n_levels]; ++block) {
        const i64 level = x.block_level[block];
        const u64 down = w.down[level] & x.block_long[block], up = w.up[level] & x.block_short[block];
        if ((down | up) == 0) continue;
        if (((down & ~w.block_down[block]) | (up & ~w.block_up[block])) == 0) {
            if (w.block_limit[block] > beyond) continue;
            const i64 cell = cell_of(w.block_limit[block] - travelled);
            if (((x.block_long[block] & w.near_down[cell]) | (x.block_short[block] & w.near_up[cell])) == 0) continue;
        }
        if ((w.block_down[block] | w.block_up[block]) == 0) w.opened[n_opened++] = block;
        w.block_down[block] = down;
        w.block_up[block] = up;
        double least = INF;
        for (i64 i = x.block_first[block]; i < x.block_first[block + 1]; ++i) {
            const u64 longs = x.long_mask[i], shorts = x.short_mask[i];
            if (((longs & down) | (shorts & up)) == 0) continue;
            const i64 cell = w.limit[i] <= beyond ? cell_of(w.limit[i] - travelled) : CELLS;
            if (((longs & w.near_down[cell]) | (shorts & w.near_up[cell])) != 0) {
                double equity, maintenance;
                judge(l, i, s.marks, equity, maintenance);
                if (equity < maintenance) {
                    s.found[n_found++] = i;
                    w.limit[i] = INF;
                } else if (x.per_slack[i] > 0.0) {
                    const double reach = (equity - maintenance - x.margin[i] * scale) * x.per_slack[i] - MARGIN_FRAC * scale;
                    w.limit[i] = travelled + best_placed(l, i, w.falls) + reach;
                }
            }
            least = std::min(least, w.limit[i]);
        }
        w.block_limit[block] = least;
    }
    w.n_opened[0] = n_opened;
    return n_found;
}

void undo(const Index& x, const Watch& w, i64 m) {
    for (i64 o = 0; o < w.n_opened[0]; ++o) {
        const i64 block = w.opened[o];
        w.block_limit[block] = -INF;
        w.block_down[block] = w.block_up[block] = 0;
        for (i64 i = x.block_first[block]; i < x.block_first[block + 1]; ++i) w.limit[i] = -INF;
    }
    w.n_opened[0] = 0;
    w.travelled[0] = 0.0;
    std::copy_n(x.reference, m, w.anchor);
}

}  // namespace

extern "C" {

void naive_rows(const Ledger& l, const Books& b, const bool* is_included, const double* shocked, const double* survival,
                i64 begin, i64 end, bool is_path, const Scratch& s, const Rows& rows, const Sizes& z) {
    const i64 m = z.n_assets;
    for (i64 row = begin; row < end; ++row) {
        if (row == begin || !is_path) {
            std::copy_n(is_included, z.n_accounts, s.is_alive);
            std::fill_n(s.net, m, 0);
        }
        i64 n_partials = 0;
        open_row(b, shocked + row * m, survival[row], s, rows, row, m);
        while (const i64 n_found = find_naive(l, s, z.n_accounts)) {
            n_partials = close_found(l, b, shocked + row * m, survival[row], s, n_found, n_partials, rows, row, m);
            stamp(l, s, n_found, rows, row, is_path, z);
        }
        rows.bad_debt[row] = rounded(s.partials, n_partials);
    }
}

void masked_rows(const Ledger& l, const Books& b, const Index& x, const double* shocked, const double* survival, i64 begin,
                 i64 end, bool is_path, const Scratch& s, const Watch& w, const Rows& rows, const Sizes& z) {
    const i64 m = z.n_assets;
    for (i64 row = begin; row < end; ++row) {
        if (row == begin || !is_path) std::fill_n(s.net, m, 0);
        i64 n_partials = 0;
        open_row(b, shocked + row * m, survival[row], s, rows, row, m);
        while (const i64 n_found = find_masked(l, x, s, w, m)) {
            n_partials = close_found(l, b, shocked + row * m, survival[row], s, n_found, n_partials, rows, row, m);
            stamp(l, s, n_found, rows, row, is_path, z);
        }
        rows.bad_debt[row] = rounded(s.partials, n_partials);
        if (!is_path) undo(x, w, m);
    }
    undo(x, w, m);
}

void survey_accounts(const Ledger& l, const double* reference, const double* thresholds, bool* is_included, i64* level,
                     u64* long_mask, u64* short_mask, double* per_slack, double* margin, const Sizes& z) {
    for (i64 i = 0; i < z.n_accounts; ++i) {
        double equity, maintenance;
        judge(l, i, reference, equity, maintenance);
        is_included[i] = !(equity < maintenance);
        const i64 begin = l.first_position[i], end = l.first_position[i + 1];
        u64 longs = 0, shorts = 0;
        double gross = std::fabs(l.collateral[i]), lost = 0.0;
        bool is_indexed = true;
        for (i64 k = begin; k < end; ++k) {
            const double* p = l.positions + N_POSITION * k;
            const i64 a = i64(p[ASSET]);
            const double size = std::fabs(p[QUANTITY]);
            if (size == 0.0) continue;
            const double value = size * reference[a], required = p[REQUIREMENT] * reference[a];
            gross += 2.0 * (value + size * p[ENTRY]);
            if (p[QUANTITY] > 0.0) {
                longs |= bit_of(a);
                lost += value - required;
                is_indexed = is_indexed && p[REQUIREMENT] <= MAX_INDEXED_RATE_FRAC * size;
            } else {
                shorts |= bit_of(a);
                lost += value + required;
            }
        }
        long_mask[i] = longs;
        short_mask[i] = shorts;
        margin[i] = (MARGIN_FRAC + MARGIN_PER_POSITION_FRAC * double(end - begin)) * gross;
        per_slack[i] = 0.0;
        level[i] = 0;
        if (is_indexed && lost > 0.0) {
            per_slack[i] = (1.0 - MARGIN_FRAC) / lost;
            const double distance = (equity - maintenance - margin[i]) * per_slack[i] - MARGIN_FRAC;
            level[i] = std::max<i64>(0, count_below(thresholds, distance) - 1);
        }
    }
}

i64 lay_out(const Ledger& l, const i64* order, i64 n_order, const Ledger& sorted, const i64* level, const u64* long_mask,
            const u64* short_mask, const Index& x) {
    i64 k = 0, block = -1;
    sorted.first_position[0] = 0;
    for (i64 s = 0; s < n_order; ++s) {
        const i64 i = order[s];
        sorted.collateral[s] = l.collateral[i];
        sorted.place[s] = i;
        for (i64 source = l.first_position[i]; source < l.first_position[i + 1]; ++source, ++k)
            std::copy_n(l.positions + N_POSITION * source, N_POSITION, sorted.positions + N_POSITION * k);
        sorted.first_position[s + 1] = k;
        if (block < 0 || x.block_level[block] != level[s] || s - x.block_first[block] == BLOCK_ACCOUNTS) {
            ++block;
            x.block_first[block] = s;
            x.block_level[block] = level[s];
            x.block_long[block] = x.block_short[block] = 0;
            ++x.blocks_to_level[level[s] + 1];
        }
        x.block_long[block] |= long_mask[s];
        x.block_short[block] |= short_mask[s];
    }
    x.block_first[block + 1] = n_order;
    for (i64 b = 0; b < LEVELS; ++b) x.blocks_to_level[b + 1] += x.blocks_to_level[b];
    return block + 1;
}

}  // extern "C"
