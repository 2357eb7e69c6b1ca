import Model
import PeerTransport
import Protocol
import Synchronization
import Testing

/// A worker that accepts everything, on a real connection; what it was told is kept.
final class ScriptedWorker: Sendable {
    struct Seen {
        var welcome: Welcome?
        var assigned: Set<UInt16> = []
        var records = 0
        var settledThrough: UInt64 = 0
        var echoes = 0
        var faults: [PeerFault] = []
        var notLeader: NotLeader?
        var gateWords: [Bool] = []
        var hasEnded = false
    }

    /// What it does with records.
    enum Manner: Sendable {
        /// Says that they were delivered.
        case accepts
        /// Reads and says nothing.
        case keepsSilent
        /// Does not even read once it was assigned something.
        case stopsReading
    }

    private let client: PeerClient
    private let connection: PeerConnection
    private let codec = Mutex(FrameCodec())
    private let seen = Mutex(Seen())
    private let task = Mutex<Task<Void, Never>?>(nil)
    private let rows: Mutex<UInt64>

    var now: Seen { seen.withLock { $0 } }

    /// - Parameter row: the last row that was told otherwise.
    init(_ name: String, port: Int, manner: Manner = .accepts, term: UInt64 = 0, row: UInt64 = 0) async throws {
        rows = Mutex(row)
        client = try PeerClient(security: .loopbackOnly)
        connection = try await client.connect(host: "127.0.0.1", port: port)
        let hello = Hello(
            versions: ProtocolRelease.current.versions, identity: name, boot: RecordKey(high: 1, low: 2), capacity: 1,
            windowBytes: 1 << 20, term: term, targets: ["t0"], claims: [])
        try await say(.hello(hello))
        task.withLock { $0 = Task { await self.listen(manner) } }
    }

    private func frame(_ message: Message) throws -> SealedBytes {
        var bytes = ByteWriter(capacity: 256)
        try codec.withLock { try $0.encode(message, into: &bytes) }
        return bytes.seal()
    }

    func say(_ message: Message) async throws { try await connection.send(frame(message)) }

    private func listen(_ manner: Manner) async {
        let beating = Task {
            var number: UInt64 = 0
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(50))
                guard let term = self.now.welcome?.term else { continue }
                number += 1
                let beat = Message.heartbeat(Heartbeat(term: term, number: number, health: [TargetHealth()]))
                if let frame = try? self.frame(beat) { _ = try? self.connection.trySend(frame) }
            }
        }
        while let frame = try? await connection.receive() {
            guard let message = try? codec.withLock({ try $0.decode(frame) }) else { break }
            await hear(message, manner)
            if manner == .stopsReading, !now.assigned.isEmpty { try? await Task.sleep(for: .seconds(60)) }
        }
        beating.cancel()
        seen.withLock { $0.hasEnded = true }
    }

    private func hear(_ message: Message, _ manner: Manner) async {
        seen.withLock { seen in
            switch message {
            case .welcome(let welcome): seen.welcome = welcome
            case .assign(_, let grants): seen.assigned.formUnion(grants.map(\.shard))
            case .revoke(_, let grants): seen.assigned.subtract(grants.map(\.shard))
            case .records(let frame): seen.records += frame.keys.count
            case .settled(_, let row): seen.settledThrough = row
            case .heartbeat: seen.echoes += 1
            case .error(let fault): seen.faults.append(fault)
            case .notLeader(let answer): seen.notLeader = answer
            case .gate(_, let isOpen, _): seen.gateWords.append(isOpen)
            default: break
            }
        }
        switch message {
        case .records(let frame) where manner == .accepts:
            let row = rows.withLock { rows in
                rows += 1
                return rows
            }
            let outcomes = Outcomes(
                row: row, term: frame.term, target: 0, kind: .delivered, reason: "", keys: frame.keys,
                grants: frame.grants)
            try? await say(.outcomes(outcomes))
        case .revoke(let term, let grants): try? await say(.released(term: term, grants: grants))
        default: break
        }
    }

    func leave() async {
        task.withLock { $0 }?.cancel()
        connection.abort()
        await client.shutdown()
    }
}
