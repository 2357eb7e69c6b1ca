import ExportCore
import Model
import Protocol

/// Times and bounds of the simulated cluster: the product's relations, with smaller numbers.
enum SimSettings {
    static let shardCount = 16
    static let windowBytes = 600
    /// Longest that a request to a receiver is under way; several margins, as time-outs are.
    static let requestMilliseconds: UInt64 = 6_000
    /// What a worker may carry for a target: four windows, at which the product leaves its leader, since a new session brings
    /// a window while what is withdrawn from earlier ones waits for its lane; a record on top, and requests under way with
    /// records that were withdrawn: two of four records each.
    static let carriedBytes = 4 * windowBytes + 120 + 2 * 4 * 120

    static var timing: ClusterTiming {
        var timing = ClusterTiming()
        timing.workerLeaseMilliseconds = 2_000
        timing.marginMilliseconds = 1_200
        timing.releaseMilliseconds = 1_500
        timing.debounceMilliseconds = 100
        return timing
    }

    static var election: ElectionSettings {
        (try? ElectionSettings(lease: 3_000, renewDeadline: 2_000, retryPeriod: 400, requestTimeout: 900)) ?? .standard
    }

    static var bounds: Dispatch.Bounds {
        var bounds = Dispatch.Bounds()
        bounds.windowBytes = 2_500
        bounds.frameBytes = 300
        bounds.frameRecords = 4
        return bounds
    }

    static var gate: ExportGateSettings {
        var gate = ExportGateSettings(impactLevel: .high)
        gate.ageLimit = 600_000
        gate.noWorkerLimit = 8_000
        gate.evidence = 12_000
        gate.suspicion = 1_000
        gate.shun = 4_000
        gate.maxShun = 8_000
        gate.stability = 1_000
        gate.leaseSeconds = 9
        gate.feedSilence = 6_000
        gate.retry = 300
        gate.answer = 1_500
        gate.recoveryAge = 600_000
        return gate
    }

    static var retry: RetrySettings { RetrySettings(initialMilliseconds: 200, maxMilliseconds: 2_000) }
}

/// A process: with a clock that runs a little fast or slow, that may stand still, die, and start again.
class SimNode {
    unowned let world: World
    let name: String
    var isUp = false
    /// Asked to end, so it is not started again before the faults are over.
    var isLeaving = false
    var boot: UInt64 = 0
    var pausedUntil: UInt64 = 0
    /// For how long it stood still.
    private(set) var slept: UInt64 = 0
    private let rate: Double
    private var offset: UInt64
    private var wakes: UInt64 = 0
    private var deferred: [(boot: UInt64, action: () -> Void)] = []

    init(world: World, name: String) {
        self.world = world
        self.name = name
        rate = 0.98 + Double(world.rng.below(41)) / 1_000
        // Machines that have run for longer than any result has waited: no clock of theirs tells of more.
        offset = (1_000_000 + world.rng.below(1_000)) * World.second
    }

    var isPaused: Bool { pausedUntil > world.now }

    /// Its own monotonic clock.
    var tick: Tick { Tick(nanoseconds: offset + UInt64(Double(world.now) * rate)) }

    /// Milliseconds since 1970 by its wall clock, which somebody sets wrong now and then.
    var wall: UInt64 { 1_700_000_000_000 + world.now / World.millisecond + wallError }
    var wallError: UInt64 = 0

    func start() {}
    func crash() { isUp = false }
    func wake() {}

    /// Does `action` later, unless the process has ended by then; if it stands still, when it goes on.
    func later(_ delay: UInt64, _ action: @escaping () -> Void) {
        let boot = boot
        world.after(delay) { self.perform(boot, action) }
    }

    private func perform(_ boot: UInt64, _ action: @escaping () -> Void) {
        guard isUp, self.boot == boot else { return }
        if isPaused || !deferred.isEmpty { return deferred.append((boot, action)) }
        action()
    }

    /// Stands still for `duration`, like a process that was stopped; what happens meanwhile is seen afterwards, in order.
    func pause(_ duration: UInt64) {
        let until = max(pausedUntil, world.now + duration)
        slept += until - max(pausedUntil, world.now)
        pausedUntil = until
        world.after(pausedUntil - world.now) { self.resume() }
    }

    func resume() {
        guard !isPaused else { return }
        let waiting = deferred
        deferred = []
        for (boot, action) in waiting where isUp && self.boot == boot { action() }
    }

    /// Has ``wake()`` called at `due` by its own clock; only the latest wish counts.
    func setTimer(_ due: Tick?) {
        wakes += 1
        guard let due else { return }
        let number = wakes
        let wait = due.nanoseconds > tick.nanoseconds ? UInt64(Double(due.nanoseconds - tick.nanoseconds) / rate) : 0
        later(max(wait, 1_000) + 1) { if self.wakes == number { self.wake() } }
    }
}
