// Twin of assets/cascade/kernel_dynamic.py: the same algorithms line by line, so that a ratio of times compares compilers
// only. Belongs here: those kernels. Does not: anything that the Python kernels do not do.
// A struct mirrors the NamedTuple of the same name, field by field: one pointer per array.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

using i64 = int64_t;

namespace {

constexpr double INF = std::numeric_limits<double>::infinity();

enum Name { FUEL, BIDS, ASKS, MARKET, TWAP, WINDOW, HALT, N_NAME };
enum Figure { MARK, SOLD_SHARE, ADL_SHARE, BREAK_MOVE, REFERENCE, N_FIGURE };
enum Flow { FORCED, SOLD, NETTED, ADL, NOT_SOLD, UNABSORBED, N_FLOW };
enum Balance { INITIAL, OPENED, EXCLUDED, ALL_FORCED, CLOSED, REMAINING, N_BALANCE };
enum Place { CURSOR, END, OPEN_AT, OPEN_END, N_PLACE };
enum Depth { ALPHA, GAMMA, KEEP, LEAST, AT_START };

struct Fuels {
    i64* edges;
    double* trigger;
    i64 *lots, *open_edges, *open_step, *open_bin, *open_lots;
};

struct Books {
    i64* edges;
    double *price, *lots;
};

struct Cells {
    i64* names;
    double *figures, *closures;
};

struct Impact {
    double *decay, *depth;
};

struct Work {
    i64* lots;
    double* scale;
    i64 *place, *net;
    double *load, *news;
};

struct Bins {
    double* trigger;
    i64* lots;
    double* scale;
    i64* place;
};

struct Ledger {
    i64* flows;
    double* notional;
    i64* balances;
};

struct Shocks {
    double* marks;
    i64* steps;
};

struct Run {
    double *marks, *survivals;
    i64* counts;
};

struct Sizes {
    i64 n_steps, n_path_steps, n_shock_steps;
};

struct Hit {
    i64 longs, shorts;
    double long_value, short_value;
};

struct Next {
    double of_long, of_short;
    i64 opening;
};

i64 floored(double x) { return i64(std::floor(x)); }

Bins begin_day(const Fuels& f, i64 fuel, double mark, const Work& w, i64* balance) {
    const i64* edges = f.edges + 3 * fuel;
    const i64 first = edges[0];
    const Bins bins{f.trigger + first, w.lots, w.scale, w.place};
    for (i64 side = 0; side < 2; ++side) {
        const i64 begin = edges[side] - first, end = edges[side + 1] - first;
        const double price = side == 0 ? mark : -mark;
        i64 initial = 0;
        for (i64 k = begin; k < end; ++k) {
            bins.lots[k] = f.lots[first + k];
            bins.scale[k] = 1.0;
            initial += bins.lots[k];
        }
        i64 cursor = begin, excluded = 0;
        while (cursor < end && bins.trigger[cursor] >= price) {
            excluded += bins.lots[cursor];
            bins.lots[cursor] = 0;
            ++cursor;
        }
        i64* place = bins.place + N_PLACE * side;
        place[CURSOR] = cursor;
        place[END] = end;
        place[OPEN_AT] = f.open_edges[3 * fuel + side];
        place[OPEN_END] = f.open_edges[3 * fuel + side + 1];
        i64* of_side = balance + N_BALANCE * side;
        of_side[INITIAL] = initial;
        of_side[EXCLUDED] = excluded;
        of_side[OPENED] = of_side[ALL_FORCED] = of_side[CLOSED] = of_side[REMAINING] = 0;
    }
    return bins;
}

Hit trigger(const Bins& bins, double low, double high, double survival, i64* balance) {
    i64 long_lots = 0, forced = 0;
    double long_value = 0.0, notional = 0.0;
    for (i64 side = 0; side < 2; ++side) {
        const double price = side == 0 ? low : -high;
        i64* place = bins.place + N_PLACE * side;
        i64* of_side = balance + N_BALANCE * side;
        i64 cursor = place[CURSOR];
        forced = 0;
        notional = 0.0;
        while (cursor < place[END] && bins.trigger[cursor] >= price) {
            const i64 lots = bins.lots[cursor];
            if (lots > 0) {
                const i64 live = floored(double(lots) * (survival / bins.scale[cursor]));
                forced += live;
                notional += bins.trigger[cursor] * double(live);
                of_side[CLOSED] += lots - live;
                bins.lots[cursor] = 0;
            }
            ++cursor;
        }
        place[CURSOR] = cursor;
        of_side[ALL_FORCED] += forced;
        if (side == 0) {
            long_lots = forced;
            long_value = notional;
        }
    }
    return {long_lots, forced, long_value, 0.0 - notional};
}

void open_lots(const Fuels& f, const Bins& bins, i64 step, double survival, i64* balance) {
    for (i64 side = 0; side < 2; ++side) {
        i64* place = bins.place + N_PLACE * side;
        i64* of_side = balance + N_BALANCE * side;
        i64 at = place[OPEN_AT];
        while (at < place[OPEN_END] && f.open_step[at] == step) {
            const i64 k = f.open_bin[at];
            const i64 left = floored(double(bins.lots[k]) * (survival / bins.scale[k]));
            of_side[CLOSED] += bins.lots[k] - left;
            of_side[OPENED] += f.open_lots[at];
            bins.lots[k] = left + f.open_lots[at];
            bins.scale[k] = survival;
            place[CURSOR] = std::min(place[CURSOR], k);
            ++at;
        }
        place[OPEN_AT] = at;
    }
}

Next next_of(const Fuels& f, const Bins& bins) {
    const i64 *longs = bins.place, *shorts = bins.place + N_PLACE;
    Next next{longs[CURSOR] < longs[END] ? bins.trigger[longs[CURSOR]] : -INF,
              shorts[CURSOR] < shorts[END] ? bins.trigger[shorts[CURSOR]] : -INF, -1};
    for (i64 side = 0; side < 2; ++side) {
        const i64* place = bins.place + N_PLACE * side;
        if (place[OPEN_AT] < place[OPEN_END]) {
            const i64 step = f.open_step[place[OPEN_AT]];
            next.opening = next.opening < 0 ? step : std::min(next.opening, step);
        }
    }
    return next;
}

void end_day(const Bins& bins, double survival, i64* balance) {
    for (i64 side = 0; side < 2; ++side) {
        const i64* place = bins.place + N_PLACE * side;
        i64 remaining = 0, held = 0;
        for (i64 k = place[CURSOR]; k < place[END]; ++k) {
            held += bins.lots[k];
            remaining += floored(double(bins.lots[k]) * (survival / bins.scale[k]));
        }
        balance[N_BALANCE * side + REMAINING] = remaining;
        balance[N_BALANCE * side + CLOSED] += held - remaining;
    }
}

// `flows` is that of one cell, int64[2, n_steps, N_FLOW].
i64 split(i64* flows, i64 n_steps, i64 step, double sold_share, double adl_share) {
    i64 to_sell[2];
    for (i64 side = 0; side < 2; ++side) {
        i64* flow = flows + (side * n_steps + step) * N_FLOW;
        const i64 adl = floored(adl_share * double(flow[FORCED])), rest = flow[FORCED] - adl;
        to_sell[side] = floored(sold_share * double(rest));
        flow[ADL] = adl;
        flow[NOT_SOLD] = rest - to_sell[side];
    }
    const i64 netted = std::min(to_sell[0], to_sell[1]);
    flows[step * N_FLOW + NETTED] = flows[(n_steps + step) * N_FLOW + NETTED] = netted;
    return to_sell[1] - to_sell[0];
}

void sell(i64* flows, i64 n_steps, i64 step, i64 net, i64 taken) {
    i64 *longs = flows + step * N_FLOW, *shorts = flows + (n_steps + step) * N_FLOW;
    longs[SOLD] = std::max<i64>(0, -taken);
    shorts[SOLD] = std::max<i64>(0, taken);
    longs[UNABSORBED] = std::max<i64>(0, -net) - longs[SOLD];
    shorts[UNABSORBED] = std::max<i64>(0, net) - shorts[SOLD];
}

double guard(const double* closes, i64 step, i64 n, double mark, double latest) {
    if (n == 1) return latest;
    double total = 0.0;
    for (i64 t = step - n + 1; t < step; ++t) total += t >= 0 ? closes[t] : mark;
    return (total + latest) / double(n);
}

bool breaks(const double* closes, i64 step, i64 window, double move, double mark) {
    const double reference = step - window >= 0 ? closes[step - window] : mark;
    return closes[step] <= reference * (1.0 - move) || closes[step] >= reference * (1.0 + move);
}

double factor(const Books& b, i64 bids, i64 asks, double load) {
    if (load == 0.0) return 1.0;
    const i64 book = load < 0.0 ? bids : asks, begin = b.edges[book], end = b.edges[book + 1];
    const double y = std::fabs(load);
    i64 low = begin, high = end;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (b.lots[middle] < y) low = middle + 1;
        else high = middle;
    }
    if (low == end) return b.price[end - 1];
    const double lots = low > begin ? b.lots[low - 1] : 0.0, price = low > begin ? b.price[low - 1] : 1.0;
    return price + (b.price[low] - price) * ((y - lots) / (b.lots[low] - lots));
}

double next_survival(const double* depth, double survival, double close, double before, i64 flow, double reference) {
    const double hit = depth[ALPHA] * std::fabs(close / before - 1.0)
                       + depth[GAMMA] * (double(flow < 0 ? -flow : flow) / reference);
    const double recovered = 1.0 - (1.0 - survival) * depth[KEEP];
    return std::max(depth[LEAST], recovered / (1.0 + hit));
}

void spread(const double* decay, i64 step, double lots, i64 begin, i64 end, double* load) {
    for (i64 t = begin; t < end; ++t) load[t] += decay[t - step] * lots;
}

i64 room(const Books& b, i64 book, double survival, double used) {
    return floored(std::max(0.0, survival * (b.lots[b.edges[book + 1] - 1] - used)));
}

void step_free(const Cells& cells, i64 c, const Bins& bins, const Books& b, i64 t, const double* news, i64 max_rounds,
               const Work& w, const Ledger& ledger, const Run& run, i64 n_steps) {
    const i64* names = cells.names + N_NAME * c;
    const double* figures = cells.figures + N_FIGURE * c;
    double* marks = run.marks + n_steps * c;
    i64* flows = ledger.flows + 2 * n_steps * N_FLOW * c;
    double* notional = ledger.notional + 2 * n_steps * c;
    for (i64 r = 0; r < max_rounds; ++r) {
        const double price = guard(marks, t, names[TWAP], figures[MARK], marks[t]);
        const Hit hit = trigger(bins, price, price, news[2], ledger.balances + 2 * N_BALANCE * c);
        if (hit.longs + hit.shorts == 0) break;
        ++run.counts[2 * c];
        flows[t * N_FLOW + FORCED] += hit.longs;
        flows[(n_steps + t) * N_FLOW + FORCED] += hit.shorts;
        notional[t] += hit.long_value;
        notional[n_steps + t] += hit.short_value;
        const i64 net = split(flows, n_steps, t, figures[SOLD_SHARE], figures[ADL_SHARE]);
        if (net < 0) w.net[t] = -std::min(-net, room(b, names[BIDS], news[1], -w.load[t]));
        else w.net[t] = std::min(net, room(b, names[ASKS], news[1], w.load[t]));
        sell(flows, n_steps, t, net, w.net[t]);
        marks[t] = std::max(1.0, news[0] * factor(b, names[BIDS], names[ASKS], w.load[t] + double(w.net[t]) / news[1]));
    }
}

}  // namespace

extern "C" {

void walk_paths(const Cells& cells, const Fuels& f, const double* paths, i64 begin, i64 end, const Work& w,
                const Ledger& ledger, i64* halted, const Sizes& z) {
    const i64 n_steps = z.n_steps;
    for (i64 c = begin; c < end; ++c) {
        const i64* names = cells.names + N_NAME * c;
        const double* figures = cells.figures + N_FIGURE * c;
        const i64 market = names[MARKET], twap = names[TWAP], halt = names[HALT];
        const double mark = figures[MARK];
        i64* flows = ledger.flows + 2 * n_steps * N_FLOW * c;
        double* notional = ledger.notional + 2 * n_steps * c;
        i64* balance = ledger.balances + 2 * N_BALANCE * c;
        const double *closure = cells.closures + n_steps * market, *lows = paths + 3 * z.n_path_steps * market;
        const double *highs = lows + z.n_path_steps, *closes = highs + z.n_path_steps;
        const Bins bins = begin_day(f, names[FUEL], mark, w, balance);
        double survival = 1.0;
        i64 to_halt = 0;
        halted[c] = 0;
        Next next = next_of(f, bins);
        for (i64 t = 0; t < n_steps; ++t) {
            survival = survival * (1.0 - closure[t]);
            if (to_halt > 0) {
                --to_halt;
                ++halted[c];
            } else {
                double low = lows[t], high = highs[t];
                if (twap > 1) {
                    low = guard(closes, t, twap, mark, low);
                    high = guard(closes, t, twap, mark, high);
                }
                if (next.of_long >= low || next.of_short >= -high) {
                    const Hit hit = trigger(bins, low, high, survival, balance);
                    if (hit.longs + hit.shorts > 0) {
                        flows[t * N_FLOW + FORCED] = hit.longs;
                        flows[(n_steps + t) * N_FLOW + FORCED] = hit.shorts;
                        notional[t] = hit.long_value;
                        notional[n_steps + t] = hit.short_value;
                        const i64 net = split(flows, n_steps, t, figures[SOLD_SHARE], figures[ADL_SHARE]);
                        sell(flows, n_steps, t, net, net);
                    }
                    next = next_of(f, bins);
                }
                if (halt > 0 && breaks(closes, t, names[WINDOW], figures[BREAK_MOVE], mark)) to_halt = halt;
            }
            if (next.opening == t) {
                open_lots(f, bins, t, survival, balance);
                next = next_of(f, bins);
            }
        }
        end_day(bins, survival, balance);
    }
}

void fill_survivals(double mark, const double* closes, const i64* net, double reference, const double* depth,
                    double* survivals, i64 n) {
    survivals[0] = depth[AT_START];
    for (i64 t = 1; t < n; ++t) {
        const double before = t >= 2 ? closes[t - 2] : mark;
        survivals[t] = next_survival(depth, survivals[t - 1], closes[t - 1], before, net[t - 1], reference);
    }
}

void fill_factors(const Books& b, i64 bids, i64 asks, const double* decay, const double* survivals, const i64* net,
                  double* load, double* factors, i64 n) {
    std::fill_n(load, n, 0.0);
    for (i64 u = 0; u < n; ++u)
        if (net[u] != 0) spread(decay, u, double(net[u]) / survivals[u], u, n, load);
    for (i64 t = 0; t < n; ++t) factors[t] = factor(b, bids, asks, load[t]);
}

void run_free(const Cells& cells, const Fuels& f, const Books& b, const Impact& impact, const Shocks& shocks, i64 max_rounds,
              i64 begin, i64 end, const Work& w, const Ledger& ledger, const Run& run, const Sizes& z) {
    const i64 n_steps = z.n_steps;
    double* news = w.news;
    for (i64 c = begin; c < end; ++c) {
        const i64* names = cells.names + N_NAME * c;
        const double* figures = cells.figures + N_FIGURE * c;
        double *marks = run.marks + n_steps * c, *survivals = run.survivals + n_steps * c;
        const i64 market = names[MARKET];
        i64* balance = ledger.balances + 2 * N_BALANCE * c;
        const Bins bins = begin_day(f, names[FUEL], figures[MARK], w, balance);
        std::fill_n(w.load, n_steps, 0.0);
        std::fill_n(w.net, n_steps, 0);
        news[1] = impact.depth[AT_START];
        news[2] = 1.0;
        i64 to_halt = 0;
        Next next = next_of(f, bins);
        for (i64 t = 0; t < n_steps; ++t) {
            if (t > 0) {
                const double before = t >= 2 ? marks[t - 2] : figures[MARK];
                news[1] = next_survival(impact.depth, news[1], marks[t - 1], before, w.net[t - 1], figures[REFERENCE]);
            }
            survivals[t] = news[1];
            news[2] = news[2] * (1.0 - cells.closures[n_steps * market + t]);
            news[0] = shocks.marks[z.n_shock_steps * market + std::min(t, shocks.steps[market] - 1)];
            marks[t] = std::max(1.0, news[0] * factor(b, names[BIDS], names[ASKS], w.load[t]));
            if (to_halt > 0) {
                --to_halt;
                ++run.counts[2 * c + 1];
            } else {
                const double price = guard(marks, t, names[TWAP], figures[MARK], marks[t]);
                if (next.of_long >= price || next.of_short >= -price) {
                    step_free(cells, c, bins, b, t, news, max_rounds, w, ledger, run, n_steps);
                    next = next_of(f, bins);
                }
                if (names[HALT] > 0 && breaks(marks, t, names[WINDOW], figures[BREAK_MOVE], figures[MARK]))
                    to_halt = names[HALT];
            }
            if (next.opening == t) {
                open_lots(f, bins, t, news[2], balance);
                next = next_of(f, bins);
            }
            if (w.net[t] != 0) spread(impact.decay, t, double(w.net[t]) / news[1], t + 1, n_steps, w.load);
        }
        end_day(bins, news[2], balance);
    }
}

}  // extern "C"
