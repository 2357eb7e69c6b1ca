import Glibc
import Model
import Synchronization
import Threading

/// What connections of one target have in common.
struct SyslogSettings: Sendable {
    var host: String
    var port: Int
    /// The name to expect in the certificate.
    var serverName: String
    /// Connections at the most.
    var maxConnections: Int
    var timing: SyslogTiming
}

/// One thread that serves all connections of a target by poll(2), so that nothing blocks where tasks run.
///
/// 1. Every delivery is answered exactly once, also when the loop is stopped.
/// 2. A parcel goes to the first connection that has none to write. Only when it has waited a while for one, another
///    connection is made, up to ``SyslogSettings/maxConnections``: so a receiver that keeps up gets everything over one
///    connection and in order. The number of those that wait is bounded by the callers' permits.
/// 3. The thread begins with the first parcel and ends with ``stop()``.
final class SyslogLoop: Sendable {
    struct Submission: Sendable {
        let id: SyslogSession.ParcelID
        let bytes: SealedBytes
        let continuation: CheckedContinuation<SyslogFate, Never>
    }

    /// What came since the loop last looked.
    struct Mail {
        var submissions: [Submission] = []
        /// Parcels whose sender waits no longer.
        var cutOff: [SyslogSession.ParcelID] = []
        var resolution: Result<[SocketAddress], SyslogFailure>?
        var isStopping = false
    }

    private struct State {
        var mail = Mail()
        var nextID = 0
        var isRunning = false
        var hasEnded = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let settings: SyslogSettings
    private let makeAccess: @Sendable () -> SyslogAccess
    private let state = Mutex(State())
    private let wake = WakePipe()

    init(settings: SyslogSettings, access: @escaping @Sendable () -> SyslogAccess) {
        self.settings = settings
        makeAccess = access
    }

    /// Sends the bytes and returns what became of them. No bytes: whether a connection can be made and lives.
    ///
    /// Cancelling the task ends the connection that carries them; what else is under way on it is unknown then as well.
    func deliver(_ bytes: SealedBytes) async -> SyslogFate {
        let id = state.withLock { state in
            defer { state.nextID += 1 }
            return state.nextID
        }
        return await withTaskCancellationHandler {
            await submit(id, bytes)
        } onCancel: {
            let isRunning = state.withLock { state in
                if state.isRunning, !state.hasEnded { state.mail.cutOff.append(id) }
                return state.isRunning
            }
            if isRunning { wake.signal() }
        }
    }

    private func submit(_ id: SyslogSession.ParcelID, _ bytes: SealedBytes) async -> SyslogFate {
        await withCheckedContinuation { continuation in
            let refusal = state.withLock { state -> SyslogFailure? in
                guard !state.hasEnded, !state.mail.isStopping else { return .stopped }
                // Whoever is cancelled later than this is heard after the submission.
                guard !Task.isCancelled else { return .cutOff }
                if !state.isRunning {
                    switch SystemThread.start({ self.run() }) {
                    case .success(let thread): pthread_detach(thread)
                    case .failure(let error):
                        return SyslogFailure(kind: .connect, words: "no thread to be had: \(error)")
                    }
                    state.isRunning = true
                }
                state.mail.submissions.append(Submission(id: id, bytes: bytes, continuation: continuation))
                return nil
            }
            if let refusal { return continuation.resume(returning: .notSent(refusal)) }
            wake.signal()
        }
    }

    /// Ends the connections and the thread. What is under way was not acknowledged.
    func stop() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                guard state.isRunning, !state.hasEnded else {
                    state.hasEnded = true
                    return true
                }
                state.mail.isStopping = true
                state.waiters.append(continuation)
                return false
            }
            if isOver { return continuation.resume() }
            wake.signal()
        }
    }

    private func take() -> Mail {
        state.withLock { state in
            defer { state.mail = Mail(isStopping: state.mail.isStopping) }
            return state.mail
        }
    }

    private func resolve() {
        Resolver.resolve(host: settings.host, port: settings.port) { result in
            self.state.withLock { $0.mail.resolution = result }
            self.wake.signal()
        }
    }

    private func run() {
        let engine = SyslogEngine(settings: settings, access: makeAccess(), resolve: { self.resolve() })
        var polls = [pollfd(fd: wake.readEnd, events: Int16(POLLIN), revents: 0)]
        while true {
            wake.drain()
            let mail = take()
            engine.handle(mail, events: polls.dropFirst().map(\.revents))
            if mail.isStopping, engine.isIdle { break }
            polls = [pollfd(fd: wake.readEnd, events: Int16(POLLIN), revents: 0)] + engine.interests()
            let timeout = engine.timeout(now: SystemClock.now())
            _ = unsafe poll(&polls, nfds_t(polls.count), timeout)
        }
        let (late, waiters) = state.withLock { state in
            state.hasEnded = true
            defer { (state.mail.submissions, state.waiters) = ([], []) }
            return (state.mail.submissions, state.waiters)
        }
        for submission in late { submission.continuation.resume(returning: .notSent(.stopped)) }
        for waiter in waiters { waiter.resume() }
    }
}

/// The loop's own state, on the loop's thread only.
final class SyslogEngine {
    private let settings: SyslogSettings
    private var access: SyslogAccess
    private let resolve: () -> Void
    private var isResolving = false
    private var connections: [SyslogConnection] = []
    /// Those that ``interests()`` spoke of, in its order.
    private var polled: [SyslogConnection] = []
    private var waiting: [(id: SyslogSession.ParcelID, bytes: SealedBytes, since: Tick)] = []
    private var continuations: [SyslogSession.ParcelID: CheckedContinuation<SyslogFate, Never>] = [:]

    /// How often acknowledgements are looked for: no event tells of them.
    private static let lookMilliseconds: UInt64 = 5
    /// How long a parcel waits for the connections there are, milliseconds.
    private static let patience: UInt64 = 100
    /// The longest wait, milliseconds.
    private static let longestWait: UInt64 = 60_000

    init(settings: SyslogSettings, access: SyslogAccess, resolve: @escaping () -> Void) {
        self.settings = settings
        self.access = access
        self.resolve = resolve
    }

    /// Whether nothing is left to do.
    var isIdle: Bool { connections.isEmpty && waiting.isEmpty }

    /// Takes what came, and does for each connection what can be done without waiting.
    func handle(_ mail: SyslogLoop.Mail, events: [Int16]) {
        let now = SystemClock.now()
        for submission in mail.submissions {
            continuations[submission.id] = submission.continuation
            waiting.append((submission.id, submission.bytes, now))
        }
        for id in mail.cutOff { cutOff(id, now) }
        if let result = mail.resolution {
            isResolving = false
            for connection in connections { connection.resolved(result, now: now) }
        }
        let ready = zip(polled, events)
        for (connection, events) in ready { connection.service(events, now: now) }
        for connection in connections where !polled.contains(where: { $0 === connection }) {
            connection.service(0, now: now)
        }
        collect()
        if mail.isStopping { stop(now) }
        assign(now)
        collect()
        connections.removeAll(where: \.isGone)
    }

    /// What poll(2) is to wait for.
    func interests() -> [pollfd] {
        polled = connections.filter { $0.interest != nil }
        return polled.compactMap(\.interest)
    }

    /// How long poll(2) may wait, milliseconds.
    func timeout(now: Tick) -> Int32 {
        var wait = Self.longestWait
        for connection in connections {
            if connection.session.awaitsAcknowledgement { wait = min(wait, Self.lookMilliseconds) }
            // Rounded up, or the last millisecond would be a busy one.
            if let next = connection.nextTick { wait = min(wait, next <= now ? 0 : next.milliseconds(since: now) + 1) }
        }
        if let oldest = waiting.first {
            let waited = now.milliseconds(since: oldest.since)
            if waited < Self.patience { wait = min(wait, Self.patience - waited + 1) }
        }
        return Int32(wait)
    }

    private func collect() {
        for connection in connections {
            for (id, fate) in connection.takeSettled() {
                continuations.removeValue(forKey: id)?.resume(returning: fate)
            }
            // Those that wait would wait for the same refusal.
            if let failure = connection.takeOpeningFailure() { refuseWaiting(failure) }
        }
    }

    private func cutOff(_ id: SyslogSession.ParcelID, _ now: Tick) {
        if let place = waiting.firstIndex(where: { $0.id == id }) {
            waiting.remove(at: place)
            continuations.removeValue(forKey: id)?.resume(returning: .notSent(.cutOff))
        } else {
            connections.first { $0.carries(id) }?.cutOff(now: now)
        }
    }

    private func refuseWaiting(_ failure: SyslogFailure) {
        for parcel in waiting { continuations.removeValue(forKey: parcel.id)?.resume(returning: .notSent(failure)) }
        waiting = []
    }

    private func stop(_ now: Tick) {
        for connection in connections { connection.stop(now: now) }
        collect()
        refuseWaiting(.stopped)
    }

    /// Gives parcels that wait to connections that have none to write.
    private func assign(_ now: Tick) {
        while let (id, bytes, since) = waiting.first {
            let material: SyslogAccess.Material
            do throws(SyslogFailure) {
                material = try access.material()
            } catch {
                waiting.removeFirst()
                continuations.removeValue(forKey: id)?.resume(returning: .notSent(error))
                continue
            }
            for connection in connections where connection.generation != material.generation {
                connection.retire(now: now)
            }
            guard let free = freeConnection(material, since, now) else { return }
            waiting.removeFirst()
            free.submit(id, bytes, now: now)
        }
    }

    private func freeConnection(
        _ material: SyslogAccess.Material, _ since: Tick, _ now: Tick
    ) -> SyslogConnection? {
        let usable = connections.filter { !$0.session.isClosing }
        if let free = usable.first(where: \.session.canTake) { return free }
        let isPatient = since.adding(milliseconds: Self.patience) > now || usable.contains { !$0.session.isOpen }
        guard usable.isEmpty || !isPatient, usable.count < settings.maxConnections else { return nil }
        let made = SyslogConnection(
            host: settings.serverName, material: material, timing: settings.timing, now: now)
        connections.append(made)
        if !isResolving {
            isResolving = true
            resolve()
        }
        return made
    }
}
