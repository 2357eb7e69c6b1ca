import ExportCore
import Model

/// A few indexers behind a balancer, which acknowledge as Splunk does: per channel, each number true once.
struct FakeIndexers {
    /// How the balancer chooses.
    enum Balancing: CaseIterable {
        /// Each connection goes to one indexer.
        case perConnection
        /// Each channel does, by a cookie, whatever the connection.
        case perChannel
        /// Each request goes somewhere else.
        case perRequest
    }

    /// A request that an indexer took.
    struct Request {
        var batch: Int
        /// When it is indexed; nil if the indexer loses it.
        var indexedAt: Tick?
        var wasToldTrue = false
    }

    enum SendAnswer {
        case accepted(Int64)
        case refused
        /// Nobody knows; the connection is gone.
        case lost
        /// There was no connection, and the request wanted one.
        case noConnection
    }

    enum PollAnswer {
        case ids(Set<Int64>)
        case refused
        case unreadable
        case lost
    }

    struct Place: Hashable {
        var indexer: Int
        var channel: Int
    }

    let balancing: Balancing
    var isFaulty = true
    /// Says false for ever, from time to time.
    private let forgets: Bool
    private let count: Int
    private(set) var requests: [Place: [Int64: Request]] = [:]
    /// Every request that an indexer took, by batch.
    private(set) var taken: [Int: Int] = [:]
    private var next: [Place: Int64] = [:]
    private var connection: Int?
    private var cookies: [Int: Int] = [:]

    init(balancing: Balancing, rng: inout PRNG) {
        self.balancing = balancing
        count = 1 + Int(rng.below(3))
        forgets = rng.below(3) == 0
    }

    private mutating func indexer(_ channel: Int, _ rng: inout PRNG) -> Int {
        switch balancing {
        case .perConnection: connection ?? 0
        case .perChannel:
            if let known = cookies[channel] { known } else { choose(channel, &rng) }
        case .perRequest: Int(rng.below(UInt64(count)))
        }
    }

    private mutating func choose(_ channel: Int, _ rng: inout PRNG) -> Int {
        let chosen = Int(rng.below(UInt64(count)))
        cookies[channel] = chosen
        return chosen
    }

    /// Opens a connection if there is none. True if it did.
    private mutating func connect(_ rng: inout PRNG) -> Bool {
        guard connection == nil else { return false }
        connection = Int(rng.below(UInt64(count)))
        return true
    }

    /// A balancer closes idle connections, an indexer restarts and forgets.
    mutating func stir(now: Tick, rng: inout PRNG) {
        guard isFaulty else { return }
        if rng.below(30) == 0 { connection = nil }
        if rng.below(80) == 0 {
            let dead = Int(rng.below(UInt64(count)))
            // A balancer that speaks HTTP keeps its own connection to us.
            if balancing == .perConnection, connection == dead { connection = nil }
            for place in requests.keys where place.indexer == dead {
                // What is indexed stays so; that it is, nobody can be told any more.
                for id in requests[place]?.keys.sorted() ?? [] where requests[place]?[id]?.indexedAt ?? now >= now {
                    requests[place]?[id]?.indexedAt = nil
                }
                requests[place] = [:]
                next[place] = 0
            }
        }
    }

    mutating func send(
        _ batch: Int, on channel: Int, needsConnection: Bool, now: Tick, rng: inout PRNG
    ) -> (answer: SendAnswer, opened: Bool) {
        if needsConnection, connection == nil { return (.noConnection, false) }
        let opened = connect(&rng)
        if isFaulty, rng.below(12) == 0 { return (.refused, opened) }
        if isFaulty, rng.below(25) == 0 {
            if rng.below(2) == 0 { _ = store(batch, channel, now, &rng) }
            connection = nil
            return (.lost, opened)
        }
        return (.accepted(store(batch, channel, now, &rng)), opened)
    }

    private mutating func store(_ batch: Int, _ channel: Int, _ now: Tick, _ rng: inout PRNG) -> Int64 {
        let place = Place(indexer: indexer(channel, &rng), channel: channel)
        let id = next[place, default: 0]
        next[place] = id + 1
        let isLost = isFaulty && (rng.below(15) == 0 || (forgets && rng.below(4) == 0))
        requests[place, default: [:]][id] = Request(
            batch: batch, indexedAt: isLost ? nil : now.adding(milliseconds: rng.below(isFaulty ? 90_000 : 3_000)))
        taken[batch, default: 0] += 1
        return id
    }

    mutating func poll(
        _ ids: [Int64], on channel: Int, now: Tick, rng: inout PRNG
    ) -> (answer: PollAnswer, opened: Bool, batches: [Int64: Int]) {
        let opened = connect(&rng)
        if isFaulty, rng.below(10) == 0 { return (.refused, opened, [:]) }
        let place = Place(indexer: indexer(channel, &rng), channel: channel)
        var told: [Int64: Int] = [:]
        for id in ids {
            guard let request = requests[place]?[id], !request.wasToldTrue, let at = request.indexedAt, at <= now
            else { continue }
            requests[place]?[id]?.wasToldTrue = true
            told[id] = request.batch
        }
        guard isFaulty else { return (.ids(Set(told.keys)), opened, told) }
        switch rng.below(12) {
        case 0: return (.unreadable, opened, [:])
        case 1:
            connection = nil
            return (.lost, opened, [:])
        default: return (.ids(Set(told.keys)), opened, told)
        }
    }
}
