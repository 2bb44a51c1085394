"""What a value costs that the worker, or the node, has."""

from statistics import median

from .figures import Figure, compared

# Fresh workers: which traces LuaJIT grows, and where its tables lie, is settled anew in each.
WORKERS = 3
PAIRS = 7
CALLS = 1_000_000

# Fresh workers whose past decides what a hit costs, and the requests between their first and the measurement.
WORKERS_WITH_A_PAST = 20
REQUESTS = 3

LRUCACHE = "resty.lrucache:get"


def _several(house, what, calls=CALLS, **arguments):
    """The pairs of several workers, one after the other."""
    together = {"ours": [], "theirs": [], "loop": []}
    for _ in range(WORKERS):
        with house.gateway() as gateway:
            answer = gateway.run(what, pairs=PAIRS, calls=calls, **arguments)
        if "skipped" in answer:
            return answer
        together["ours"] += answer["ours"]
        together["theirs"] += answer["theirs"]
        together["loop"].append(answer.get("loop"))
    return together


def _hit(house, name, references, interpreted=False, **bounds):
    calls = CALLS // 10 if interpreted else CALLS
    answer = _several(house, "hit/get", calls, references=references, interpreted=interpreted)
    note = f"the loop itself takes {min(answer['loop']):.1f} ns of either side"
    return compared(name, answer["ours"], answer["theirs"], LRUCACHE, "ns", note=note, **bounds)


def _update(house, size, **bounds):
    name = f"update, up to date, {size} references"
    references = [f"{{vault://hcv/update/{number}/password}}" for number in range(80)]
    answer = _several(house, "hit/update", references=references, size=size)
    if "skipped" in answer:
        return Figure(name, skipped=answer["skipped"], **bounds)
    return compared(name, answer["ours"], answer["theirs"], LRUCACHE, "ns", **bounds)


def _with_a_past(house, references):
    """The figures of fresh workers, by whether the caller is compiled."""
    workers = {"compiled": [], "interpreted": []}
    for _ in range(WORKERS_WITH_A_PAST):
        with house.gateway() as gateway:
            gateway.run("worker/begin", references=references)
            for _ in range(REQUESTS):
                gateway.run("worker/go_on", references=references)
            answer = gateway.run("worker/get", references=references, pairs=PAIRS, rounds=500)
        for caller, sides in answer.items():
            workers[caller].append(compared("", sides["ours"], sides["theirs"], LRUCACHE, "ns"))
    return workers


def _past(house, references, bounds):
    for caller, workers in _with_a_past(house, references).items():
        name = f"get, fresh workers after misses, caller {caller}"
        workers.sort(key=lambda figure: figure.value)
        typical, worst = workers[len(workers) // 2], workers[-1]
        middle = median(figure.value for figure in workers)
        spread = (workers[0].value, worst.value)
        peer = {"peer_name": LRUCACHE, "scale": "ns", "note": f"of {len(workers)} workers; in brackets best and worst"}
        for which, value, figure in ("median", middle, typical), ("worst", worst.value, worst):
            yield Figure(
                f"{name}, {which}", value=value, ours=figure.ours, peer=figure.peer, spread=spread, **peer, **bounds[caller]
            )


def _node(house, **bounds):
    name = "get, value only in the node's cache"
    references = [f"{{vault://hcv/node/{number}/password}}" for number in range(200)]
    with house.gateway(shared=True, vault_cache_size=1) as gateway:
        answer = gateway.run("hit/node", references=references, pairs=15, rounds=20)
    if "skipped" in answer:
        return Figure(name, unit="µs", skipped=answer["skipped"], **bounds)
    figure = compared(name, answer["ours"], answer["theirs"], "ngx.shared get", "ns")
    figure.note = f"{figure.value:.1f} × a bare ngx.shared get"
    figure.value, figure.unit, figure.spread = figure.ours / 1000, "µs", None
    figure.target, figure.goal = bounds.get("target"), bounds.get("goal")
    return figure


def _traces(house):
    references = [f"{{vault://hcv/traces/{number}/password}}" for number in range(200)]
    with house.gateway() as gateway:
        answer = gateway.run("traces/run", references=references)
    for what, traces in answer.items():
        note = f"{traces['finished']} traces finished" + "".join(f"; {abort}" for abort in traces["aborted"])
        yield Figure(f"{what}, traces aborted on the hit path", value=len(traces["aborted"]), unit="", target=0, note=note)


def figures(house):
    one = ["{vault://hcv/one/password}"]
    fields = ["{vault://hcv/fields/username}", "{vault://hcv/fields/password}"]
    many = [f"{{vault://hcv/many/{number}/password}}" for number in range(200)]
    yield _hit(house, "get, one reference", one, target=1.5, goal=1.0)
    yield _hit(house, "get, 200 references in turn", many, target=1.5, goal=1.3)
    yield _hit(house, "get, two fields of a document in turn", fields, target=1.5, goal=1.0)
    yield _hit(house, "get, 200 references in turn, not compiled", many, interpreted=True)
    yield from _past(house, many, {"compiled": {"target": 1.0}, "interpreted": {"target": 1.5}})
    yield _update(house, 2, goal=1.0)
    yield _update(house, 20, goal=1.0)
    yield _node(house, goal=2.0)
    yield from _traces(house)
