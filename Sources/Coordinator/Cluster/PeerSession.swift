import ExportCore
import Model
import PeerTransport
import Protocol
import Synchronization

/// One connection of a worker: frames become messages and messages frames on tasks of its own, so that only values cross
/// into the coordinator.
///
/// Heartbeats go in the urgent lane; everything else in the ordinary one, in order, from one task.
final class PeerSession: Sendable {
    let id: SessionID
    let connection: PeerConnection
    private let outbox: Outbox
    /// The version of the session; zero before the welcome.
    private let version = Atomic<UInt8>(0)
    private let release: ProtocolRelease
    private let urgent: Mutex<FrameEncoder>
    private let ordinary: Mutex<FrameEncoder>
    private let cause = Mutex<String?>(nil)
    private let fault = Mutex<(kind: String, cause: String)?>(nil)
    private let hello = Mutex<Message?>(nil)

    /// Before the worker has said what it takes, this much may wait for it.
    private static let handshakeBytes = 4 << 20

    init(id: SessionID, connection: PeerConnection, release: ProtocolRelease) {
        self.id = id
        self.connection = connection
        self.release = release
        urgent = Mutex(FrameEncoder(release: release))
        ordinary = Mutex(FrameEncoder(release: release))
        outbox = Outbox(limit: Self.handshakeBytes)
    }

    /// Why it ended, or is about to; nil while it goes on.
    var reason: String? { cause.withLock { $0 } ?? connection.endReason?.message }

    /// What the peer did that ended the connection; nil if it did nothing wrong.
    var trouble: (kind: String, cause: String)? { fault.withLock { $0 } }

    /// Whether nothing more is heard or said.
    var isEnding: Bool { outbox.isEnding }

    /// The session begins: `bytes` of records may be under way to the worker.
    func begin(version: UInt8, recordBytes bytes: Int) {
        self.version.store(version, ordering: .releasing)
        urgent.withLock { $0.version = version }
        outbox.setLimit(bytes + Self.handshakeBytes)
    }

    /// Says something; never waits. False if the worker does not read what it is sent: then it is cut off.
    func post(_ message: Message) -> Bool {
        if case .heartbeat = message { return postUrgent(message) }
        return outbox.put(message) { self.offer($0) }
    }

    /// Says something at once; false if it has to wait, or cannot be said, as whoever sends it later finds out.
    private func offer(_ message: Message) -> Bool {
        do { return try connection.offer(try frame(message)) } catch { return false }
    }

    private func frame(_ message: Message) throws(ProtocolError) -> OutgoingFrame {
        try ordinary.withLock { encoder throws(ProtocolError) in
            let agreed = version.load(ordering: .acquiring)
            if encoder.version == nil, agreed != 0 { encoder.version = agreed }
            return try encoder.frame(message)
        }
    }

    private func postUrgent(_ message: Message) -> Bool {
        var bytes = ByteWriter(capacity: 64)
        do {
            try urgent.withLock { encoder throws(ProtocolError) in try encoder.encode(message, into: &bytes) }
            // No room in the urgent lane: a heartbeat that is lost is not missed, the next one follows.
            _ = try connection.trySend(bytes.seal())
            return true
        } catch {
            note("\(message.name) could not be sent: \(error)")
            return false
        }
    }

    /// Keeps the worker's introduction until there is a leader to take it.
    func keep(hello message: Message) { hello.withLock { $0 = message } }

    /// What was kept.
    func takeHello() -> Message? { hello.withLock { $0.take() } }

    /// Drops what waits, says why, and closes.
    func finish(_ message: Message?) {
        if case .error(let fault) = message { note(fault.message) }
        outbox.finish(message)
    }

    /// Closes at once.
    func abort(_ why: String) {
        note(why)
        outbox.end()
        connection.abort()
    }

    private func note(_ why: String) {
        cause.withLock { if $0 == nil { $0 = why } }
    }

    /// Carries the session until it ends; `deliver` gets what is heard.
    func run(_ deliver: @Sendable @escaping (Message) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.write() }
            await self.read(deliver)
            self.outbox.end()
        }
    }

    private func read(_ deliver: (Message) async -> Void) async {
        var decoder = FrameDecoder(release: release)
        do {
            while let frame = try await connection.receive() {
                let agreed = version.load(ordering: .acquiring)
                if decoder.version == nil, agreed != 0 { decoder.version = agreed }
                guard let message = try decoder.decode(frame), !isEnding else { continue }
                await deliver(message)
            }
            note("the connection was closed")
        } catch let error as ProtocolError {
            fault.withLock { $0 = ("\(error.fault.code)", error.fault.message) }
            finish(.error(error.fault))
            // Reads on until the other side has closed too, or was given up.
            while (try? await connection.receive()) != nil {}
        } catch {
            if let error = error as? PeerError, error.kind != .closed, error.kind != .cancelled, !isEnding {
                fault.withLock { $0 = (error.kind.rawValue, error.message) }
            }
            note("\(error)")
        }
    }

    private func write() async {
        while true {
            switch await outbox.next() {
            case .message(let message):
                guard await send(message) else { return connection.abort() }
            case .last(let message):
                if let message { _ = await send(message) }
                return await connection.close()
            case .ended: return
            }
        }
    }

    private func send(_ message: Message) async -> Bool {
        do {
            try await connection.send(try frame(message))
            return true
        } catch {
            note("\(message.name) could not be sent: \(error)")
            return false
        }
    }
}
