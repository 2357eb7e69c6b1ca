import ExportCore
import Model
import Threading

/// One look at the cluster, written out once for all who ask.
struct Snapshot: Sendable {
    var status: ClusterStatus
    /// Counts the looks from 1.
    var number: UInt64
    var takenAt: Tick
}

/// What listeners are told at once.
struct Broadcast: Sendable {
    var number: UInt64
    /// The status without its history, as JSON.
    var status: [UInt8]
    /// Samples after number ``samplesAfter`` up to ``lastSample``, as a history in JSON; nil if there are none.
    var samples: [UInt8]?
    /// See ``samples``.
    var samplesAfter: UInt64
    /// See ``samples``.
    var lastSample: UInt64
    /// Until the next one, milliseconds.
    var pace: UInt64
}

/// Looks at the cluster, as often as somebody asks but never more often than `freshMilliseconds`, and keeps what the
/// page needs of the past.
///
/// The coordinator is asked by one task at a time. When it does not answer in `answerMilliseconds`, those who wait are
/// told so, and so is everybody after them until it does.
actor StatusFeed {
    /// Milliseconds between looks that nobody asked for.
    static let pulseMilliseconds: UInt64 = 1_000
    /// A status of so many bytes is broadcast once a second; a larger one less often, so that a listener costs no more.
    static let bytesPerSecond = 128 << 10
    /// Longest pause between broadcasts, milliseconds.
    static let maxPaceMilliseconds: UInt64 = 10_000

    private let settings: StatusEndpointSettings
    /// Nil if there is no cluster to look at.
    private let source: (@Sendable () async -> ClusterStatus)?
    private let metrics: ClusterMetrics?
    private var history = StatusHistory()
    private var latest: Snapshot?
    private var looks: UInt64 = 0
    private var written: (number: UInt64, bytes: [UInt8])?
    /// Since when the coordinator has been asked; nil if it is not being asked.
    private var askedAt: Tick?
    private var waiting: [CheckedContinuation<Snapshot?, Never>] = []

    private var broadcast: Broadcast?
    private var broadcastAt: Tick?
    private var lastSample: UInt64 = 0
    private var listening: [CheckedContinuation<Broadcast?, Never>] = []
    private var listeners = 0
    private var isStopped = false

    init(
        settings: StatusEndpointSettings, metrics: ClusterMetrics, source: @escaping @Sendable () async -> ClusterStatus
    ) {
        self.settings = settings
        self.metrics = metrics
        self.source = source
    }

    init(settings: StatusEndpointSettings) {
        self.settings = settings
        (metrics, source) = (nil, nil)
    }

    // MARK: Looking

    /// A status that is fresh enough; nil if the coordinator does not answer in time.
    func snapshot() async -> Snapshot? {
        let now = SystemClock.now()
        if let latest, now.milliseconds(since: latest.takenAt) < settings.freshMilliseconds { return latest }
        if let askedAt, now.milliseconds(since: askedAt) >= settings.answerMilliseconds { return nil }
        guard !isStopped else { return nil }
        look()
        return await withCheckedContinuation { waiting.append($0) }
    }

    /// The latest status with its history, as JSON: written out once, however many ask for it.
    func document() -> [UInt8]? {
        guard var status = latest?.status else { return nil }
        if let written, written.number == looks { return written.bytes }
        status.history = history.record()
        let bytes = StatusJSON.encode(status) + [0x0A]
        written = (looks, bytes)
        return bytes
    }

    /// The samples after number `number`.
    func record(after number: UInt64 = 0) -> StatusHistory.Record { history.record(after: number) }

    /// Looks once a second and lets nobody wait too long, until cancelled.
    func pulse() async {
        // Without anything to look at there is nobody who waits for it.
        let pause: Duration = source == nil ? .seconds(3_600) : .milliseconds(200)
        while (try? await Task.sleep(for: pause)) != nil {
            let now = SystemClock.now()
            if let askedAt, now.milliseconds(since: askedAt) >= settings.answerMilliseconds { answer(nil) }
            if latest.map({ now.milliseconds(since: $0.takenAt) >= Self.pulseMilliseconds }) ?? true { look() }
        }
        stop()
    }

    private func look() {
        guard askedAt == nil, !isStopped, let source else { return }
        askedAt = SystemClock.now()
        Task { take(await source()) }
    }

    private func take(_ seen: ClusterStatus) {
        let now = SystemClock.now()
        let unixMilliseconds = SystemClock.unixMilliseconds()
        var status = seen
        status.time = StatusJSON.time(unixMilliseconds: unixMilliseconds)
        history.observe(&status, now: now, unixMilliseconds: unixMilliseconds)
        metrics?.take(status, now: now)
        looks += 1
        let snapshot = Snapshot(status: status, number: looks, takenAt: now)
        latest = snapshot
        askedAt = nil
        answer(snapshot)
        publish(snapshot)
    }

    private func answer(_ snapshot: Snapshot?) {
        let all = waiting
        waiting = []
        for continuation in all { continuation.resume(returning: snapshot) }
    }

    // MARK: Listening

    /// A place among the listeners; false if there is none.
    func join() -> Bool {
        guard listeners < settings.maxListeners, !isStopped else { return false }
        listeners += 1
        return true
    }

    /// Gives a place back.
    func leave() { listeners -= 1 }

    /// The next broadcast after number `number`; nil when the endpoint stops.
    func next(after number: UInt64) async -> Broadcast? {
        if isStopped { return nil }
        if let broadcast, broadcast.number > number { return broadcast }
        return await withCheckedContinuation { listening.append($0) }
    }

    private func publish(_ snapshot: Snapshot) {
        guard listeners > 0, !isStopped else { return }
        if let broadcast, let broadcastAt,
            // A look comes a little early or late; what is due before the next one is due now.
            snapshot.takenAt.milliseconds(since: broadcastAt) + Self.pulseMilliseconds / 2 < broadcast.pace
        {
            return
        }
        let bytes = StatusJSON.encode(snapshot.status)
        let before = lastSample
        let samples = history.record(after: before)
        lastSample = samples.samples.last?.number ?? before
        let pace = UInt64(bytes.count) * 1_000 / UInt64(Self.bytesPerSecond)
        let next = Broadcast(
            number: snapshot.number, status: bytes, samples: samples.samples.isEmpty ? nil : StatusJSON.encode(samples),
            samplesAfter: before, lastSample: lastSample,
            pace: min(max(pace, Self.pulseMilliseconds), Self.maxPaceMilliseconds))
        broadcast = next
        broadcastAt = snapshot.takenAt
        tell(next)
    }

    private func tell(_ broadcast: Broadcast?) {
        let all = listening
        listening = []
        for continuation in all { continuation.resume(returning: broadcast) }
    }

    private func stop() {
        isStopped = true
        answer(nil)
        tell(nil)
    }
}
