import ExportCore
import Logging
import Model
import Protocol
import Synchronization

/// One attempt at a session: the connection, and what goes over it in either direction.
///
/// Frames leave in the order in which they were given. What waits here is bounded by what the worker has in hand, since
/// that is all it ever speaks of.
final class WorkerLink: Sendable {
    private struct State {
        var connection: (any WorkerConnection)?
        var encoder: FrameEncoder
        var frames: [SealedBytes] = []
        var isClosing = false
    }

    let session: SessionID
    let address: String
    private let desk: WorkerDesk
    private let log: Logger
    private let complaints: DialComplaints
    private let maxCarriedBytes: UInt64
    private let release: ProtocolRelease
    private let state: Mutex<State>
    private let bell = Doorbell()

    /// - Parameter maxCarriedBytes: a leader that brings more for one target does not keep to what it was told.
    init(
        _ session: SessionID, at address: String, desk: WorkerDesk, log: Logger, complaints: DialComplaints,
        maxCarriedBytes: UInt64, release: ProtocolRelease
    ) {
        self.session = session
        self.address = address
        self.complaints = complaints
        self.desk = desk
        self.log = log
        self.maxCarriedBytes = maxCarriedBytes
        self.release = release
        state = Mutex(State(encoder: FrameEncoder(release: release)))
    }

    /// Connects, and then reads and writes until the connection ends. The desk hears of all of that.
    func run(_ dial: WorkerDial) async {
        let connection: any WorkerConnection
        do {
            connection = try await dial(address)
        } catch {
            if !isClosing { complaints.tell(.warning, address, "no coordinator at \(address): \(error)") }
            return desk.handle(.closed(session))
        }
        let isWanted = state.withLock { state in
            state.connection = connection
            return !state.isClosing
        }
        guard isWanted else { return connection.abort() }
        desk.handle(.connected(session))
        let writing = Task(executorPreference: connection.executor) { await self.write(connection) }
        await withTaskExecutorPreference(connection.executor) { await read(connection) }
        state.withLock { $0.isClosing = true }
        desk.handle(.closed(session))
        bell.ring()
        await writing.value
    }

    private var isClosing: Bool { state.withLock { $0.isClosing } }

    func send(_ message: Message) {
        let failure = state.withLock { state -> ProtocolError? in
            guard !state.isClosing else { return nil }
            var out = ByteWriter(capacity: 256)
            do throws(ProtocolError) {
                try state.encoder.encode(message, into: &out)
            } catch {
                return error
            }
            state.frames.append(out.seal())
            return nil
        }
        if let failure {
            // A mistake of ours; a new session tells everything again.
            log.error("a message could not be written, the session ends: \(failure)")
            close(nil)
            return desk.handle(.closed(session))
        }
        bell.ring()
    }

    /// Overtakes what waits: a worker with much to tell is no dead one.
    func sendUrgently(_ message: Message) {
        let (frame, connection) = state.withLock { state -> (SealedBytes?, (any WorkerConnection)?) in
            var out = ByteWriter(capacity: 512)
            guard !state.isClosing, (try? state.encoder.encode(message, into: &out)) != nil else { return (nil, nil) }
            return (out.seal(), state.connection)
        }
        guard let frame, let connection else { return }
        if !connection.sendUrgently(frame) { log.debug("a heartbeat could not be sent") }
    }

    /// Sends what waits, then the fault, and closes.
    func close(_ fault: PeerFault?) {
        if let fault { send(.error(fault)) }
        state.withLock { $0.isClosing = true }
        bell.ring()
    }

    // MARK: Tasks

    private func write(_ connection: any WorkerConnection) async {
        while true {
            let (frames, isClosing) = state.withLock { state in
                defer { state.frames = [] }
                return (state.frames, state.isClosing)
            }
            do {
                for frame in frames { try await connection.send(frame) }
            } catch {
                return connection.abort()
            }
            if isClosing { return await connection.close() }
            if frames.isEmpty { await bell.wait() }
        }
    }

    private func read(_ connection: any WorkerConnection) async {
        var decoder = FrameDecoder(release: release)
        do {
            while let frame = try await connection.receive() {
                guard let message = try decoder.decode(frame) else { continue }
                if case .welcome(let welcome) = message {
                    complaints.forget(address)
                    state.withLock { $0.encoder.version = decoder.version }
                    desk.releaseMilliseconds.store(welcome.releaseMilliseconds, ordering: .relaxed)
                }
                if let fault = fault(in: message) {
                    complaints.tell(.error, address, "\(address) is left: \(fault.message)")
                    return close(fault)
                }
                desk.handle(.received(session, message))
            }
            if !isClosing { complaints.tell(.notice, address, "\(address) closed the connection") }
        } catch let error as ProtocolError {
            complaints.tell(.error, address, "\(address) sent what cannot be read: \(error)")
            close(error.fault)
        } catch {
            if !isClosing { complaints.tell(.warning, address, "the connection to \(address) is lost: \(error)") }
        }
    }

    /// What a leader may not send, though it can be read.
    private func fault(in message: Message) -> PeerFault? {
        guard case .records(let frame) = message else { return nil }
        guard Self.isLines(frame) else {
            return PeerFault(
                code: .malformed, message: "records.bytes: each record has to be one line and to end with its line feed"
            )
        }
        let carried = desk.look { $0.hands.carriedBytes.max() ?? 0 }
        guard carried <= maxCarriedBytes else {
            return PeerFault(
                code: .overloaded,
                message:
                    "\(carried) bytes of records are in hand for one target, and hello asked for less; send no more"
                    + " before outcomes come")
        }
        return nil
    }

    /// Places of records are counted by their lengths, and records are told apart by line ends: both have to agree.
    static func isLines(_ frame: RecordsFrame) -> Bool {
        let bytes = frame.bytes.span
        var lines = LineCutter(0..<bytes.count)
        for length in frame.lengths {
            guard let (whole, _) = lines.next(bytes), whole.count == Int(length), bytes[whole.upperBound - 1] == 0x0A
            else { return false }
        }
        return lines.next(bytes) == nil
    }
}
