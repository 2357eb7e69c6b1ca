import Coordinator
import ExportCore
import Formats
import KubernetesAPI
import Model

/// Around ``ListWatch`` before a ``ResultServer`` what ``ObjectFeed`` is around it before a real one: at most one page and one
/// piece of the watch are there at a time. So many pages come in a turn, and no more.
struct ResultServerFeed {
    private let server: ResultServer
    private var machine: ListWatch
    private var rng: PRNG
    private var outputs: [ObjectFeed.Output] = []
    private var list: (id: UInt64, limit: Int, token: String?)?
    private var watch: (id: UInt64, at: UInt64, until: Tick, reader: WatchReader)?
    private var failing: (list: Tick?, watch: Tick?)
    private var pagesLeft = 0
    private var isWatchsTurn = false
    /// Lists that were begun.
    private(set) var lists = 0

    init(_ server: ResultServer, seed: UInt64, now: Tick) {
        self.server = server
        rng = PRNG(seed: seed)
        machine = ListWatch(usesSelector: true, now: now)
    }

    var failingSince: Tick? { [failing.list, failing.watch].compactMap { $0 }.min() }
    var standing: ObjectFeed.Standing { ObjectFeed.Standing(failingSince: failingSince, isWatching: watch != nil) }

    mutating func begin(pages: Int, now: Tick) {
        pagesLeft = pages
        if let due = machine.nextTick, due <= now { handle(.tick, now) }
        if let open = watch, open.until <= now { handle(.watchEnded(id: open.id, nil), now) }
    }

    mutating func relist(now: Tick) { handle(.relist, now) }

    mutating func poll(pages: Bool, now: Tick) throws(APIObjectFault) -> ObjectFeed.Output? {
        while true {
            if !outputs.isEmpty { return outputs.removeFirst() }
            isWatchsTurn.toggle()
            if isWatchsTurn, let piece = try nextPiece(now) { return piece }
            if pages, pagesLeft > 0, let wanted = list {
                pagesLeft -= 1
                if let page = try nextPage(wanted, now) { return page }
                continue
            }
            if !isWatchsTurn, let piece = try nextPiece(now) { return piece }
            return outputs.isEmpty ? nil : outputs.removeFirst()
        }
    }

    private mutating func nextPage(
        _ wanted: (id: UInt64, limit: Int, token: String?), _ now: Tick
    ) throws(APIObjectFault) -> ObjectFeed.Output? {
        list = nil
        switch server.page(limit: wanted.limit, token: wanted.token) {
        case .success(let body):
            failing.list = nil
            let page = try ObjectPage(body)
            handle(
                .page(id: wanted.id, resourceVersion: page.resourceVersion, continueToken: page.continueToken), now)
            return .page(page)
        case .failure(let failure):
            failing.list = failing.list ?? now
            outputs.append(.trouble(failure))
            handle(.listFailed(id: wanted.id, failure), now)
            return nil
        }
    }

    private mutating func nextPiece(_ now: Tick) throws(APIObjectFault) -> ObjectFeed.Output? {
        while var open = watch {
            switch server.piece(after: &open.at) {
            case .success(let body):
                failing.watch = nil
                guard !body.isEmpty else { return nil }
                let piece = try open.reader.feed(body)
                watch = open
                guard let piece else { continue }
                if let version = piece.resourceVersion {
                    handle(.progress(id: open.id, resourceVersion: version), now)
                }
                if !piece.isOnlyBookmark { return .changes(piece) }
            case .failure(let failure):
                failing.watch = failing.watch ?? now
                watch = nil
                outputs.append(.trouble(failure))
                handle(.watchEnded(id: open.id, failure), now)
                return nil
            }
        }
        return nil
    }

    private mutating func handle(_ event: ListWatch.Event, _ now: Tick) {
        for effect in machine.handle(event, now: now, rng: &rng) {
            switch effect {
            case .restarted, .relisted:
                list = nil
                lists += 1
                outputs.append(effect == .restarted ? .restarted : .relisted)
            case .listed: outputs.append(.listed)
            case .selectorUnknown: outputs.append(.selectorUnknown)
            case .list(let id, let limit, let token, _): list = (id, limit, token)
            case .watch(let id, let version, let seconds, _):
                watch = (
                    id, UInt64(version) ?? 0, now.adding(milliseconds: UInt64(seconds) * 1_000), WatchReader()
                )
            }
        }
    }
}
