"""What a value costs that the worker, or the node, has."""

from .figures import Figure, compared

# Fresh workers: which traces LuaJIT grows, and where its tables lie, is settled anew in each.
WORKERS = 3
PAIRS = 7
CALLS = 1_000_000

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
    yield _update(house, 2, goal=1.0)
    yield _update(house, 20, goal=1.0)
    yield _node(house, goal=2.0)
    yield from _traces(house)
