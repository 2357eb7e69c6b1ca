import Model
import Protocol
import ShardWorker
import Synchronization
import Testing

/// A coordinator in memory: welcomes, echoes, hears everything and says what the test has it say.
final class FakeLeader: Sendable {
    private struct State {
        var term: UInt64 = 1
        var targets: [String]
        var leaseMilliseconds: UInt32
        var isReachable = true
        var echoes = true
        var answersDrain = true
        var settles = false
        var grants: [ShardGrant] = []
        var connections: [FakeConnection] = []
        var heard: [Message] = []
    }

    private let state: Mutex<State>

    init(targets: [String], leaseMilliseconds: UInt32) {
        state = Mutex(State(targets: targets, leaseMilliseconds: leaseMilliseconds))
    }

    /// Everything that was said to it, in order.
    var heard: [Message] { state.withLock { $0.heard } }

    /// The rows that were told, in order; failures left out.
    var outcomes: [Outcomes] {
        heard.compactMap { if case .outcomes(let row) = $0, row.kind != .failed { row } else { nil } }
    }

    /// Keys told as `kind` for the target, each as often as it was told.
    func keys(_ kind: Outcomes.Kind, target: UInt8 = 0) -> [RecordKey] {
        heard.flatMap { message -> [RecordKey] in
            guard case .outcomes(let row) = message, row.kind == kind, row.target == target else { return [] }
            return row.keys
        }
    }

    var released: [ShardGrant] {
        heard.flatMap { message -> [ShardGrant] in
            guard case .released(_, let grants) = message else { return [] }
            return grants
        }
    }
    var hellos: [Hello] { heard.compactMap { if case .hello(let hello) = $0 { hello } else { nil } } }
    var faults: [PeerFault] { heard.compactMap { if case .error(let fault) = $0 { fault } else { nil } } }
    var health: [TargetHealth] {
        heard.compactMap { if case .heartbeat(let beat) = $0 { beat.health } else { nil } }.last ?? []
    }

    /// From now on it does not answer, as if cut off; or it does again.
    func setReachable(_ reachable: Bool) {
        let ended = state.withLock { state -> [FakeConnection] in
            state.isReachable = reachable
            defer { if !reachable { state.connections = [] } }
            return reachable ? [] : state.connections
        }
        for connection in ended { connection.abort() }
    }

    func setEchoes(_ echoes: Bool) { state.withLock { $0.echoes = echoes } }

    /// What it is told it has for good at once, from now on; or not.
    func setSettles(_ settles: Bool) { state.withLock { $0.settles = settles } }

    /// What every worker is given after its welcome, with the epochs of this term.
    func setGrants(_ grants: [ShardGrant]) { state.withLock { $0.grants = grants } }

    /// The next term begins: all sessions are gone.
    func nextTerm() {
        let ended = state.withLock { state -> [FakeConnection] in
            state.term += 1
            for index in state.grants.indices { state.grants[index].epoch += 1 }
            defer { state.connections = [] }
            return state.connections
        }
        for connection in ended { connection.abort() }
    }

    var term: UInt64 { state.withLock { $0.term } }

    /// Says something in the latest session.
    func say(_ message: Message) { state.withLock { $0.connections.last }?.deliver(message) }

    /// Says bytes that may be no message at all.
    func say(bytes: [UInt8]) { state.withLock { $0.connections.last }?.deliver(SealedBytes(bytes)) }

    func dial(_ address: String) async throws -> any WorkerConnection {
        let connection = FakeConnection(leader: self)
        let isReachable = state.withLock { state in
            if state.isReachable { state.connections.append(connection) }
            return state.isReachable
        }
        guard isReachable else { throw FakeConnection.Unreachable() }
        return connection
    }

    fileprivate func hear(_ message: Message, _ connection: FakeConnection) {
        let answers = state.withLock { state -> [Message] in
            state.heard.append(message)
            switch message {
            case .hello:
                let welcome = Welcome(
                    version: 1, term: state.term, leader: "c0", leaseMilliseconds: state.leaseMilliseconds,
                    shardCount: 16, releaseMilliseconds: 2_000, targets: state.targets,
                    marginMilliseconds: state.leaseMilliseconds / 2)
                return [.welcome(welcome), .assign(term: state.term, grants: state.grants)]
            case .heartbeat(let beat) where state.echoes:
                return [.heartbeat(Heartbeat(term: state.term, number: beat.number, health: []))]
            case .outcomes(let row) where state.settles && row.kind != .failed:
                return [.settled(term: state.term, through: row.row)]
            case .drain where state.answersDrain:
                return [.revoke(term: state.term, grants: state.grants)]
            default: return []
            }
        }
        for answer in answers { connection.deliver(answer) }
    }
}

/// The worker's end of a connection to a ``FakeLeader``.
final class FakeConnection: WorkerConnection {
    var executor: (any TaskExecutor)? { nil }

    struct Unreachable: Error {}

    private struct State {
        var frames: [SealedBytes] = []
        var waiter: CheckedContinuation<Void, Never>?
        var isEnded = false
        var codec = FrameCodec()
    }

    private let leader: FakeLeader
    private let state = Mutex(State())

    fileprivate init(leader: FakeLeader) { self.leader = leader }

    fileprivate func deliver(_ message: Message) {
        let frame = state.withLock { state -> SealedBytes? in
            // A worker that has just dialled anew is not welcomed yet, and nothing else can be said to it.
            if state.codec.version == nil {
                switch message {
                case .hello, .welcome, .notLeader, .error: break
                default: return nil
                }
            }
            var out = ByteWriter()
            #expect(throws: Never.self) { try state.codec.encode(message, into: &out) }
            return out.seal()
        }
        if let frame { deliver(frame) }
    }

    fileprivate func deliver(_ frame: SealedBytes) {
        wake { $0.frames.append(frame) }
    }

    private func wake(_ change: (inout State) -> Void) {
        let waiter = state.withLock { state in
            change(&state)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    func send(_ frame: SealedBytes) async throws {
        guard hear(frame) else { throw Unreachable() }
    }

    func sendUrgently(_ frame: SealedBytes) -> Bool { hear(frame) }

    private func hear(_ frame: SealedBytes) -> Bool {
        let (message, isEnded) = state.withLock { state in (try? state.codec.decode(frame), state.isEnded) }
        guard !isEnded else { return false }
        guard let message else {
            Issue.record("a frame that cannot be read")
            return true
        }
        leader.hear(message, self)
        return true
    }

    func receive() async throws -> SealedBytes? {
        while true {
            let (frame, isEnded) = state.withLock { state in
                (state.frames.isEmpty ? nil : state.frames.removeFirst(), state.isEnded)
            }
            if let frame { return frame }
            if isEnded { return nil }
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    let isReady = !state.frames.isEmpty || state.isEnded
                    if !isReady { state.waiter = continuation }
                    return isReady
                }
                if isReady { continuation.resume() }
            }
        }
    }

    func close() async { wake { $0.isEnded = true } }
    func abort() { wake { $0.isEnded = true } }
}
