import ExportCore

/// Changes of the gate that were not told as events yet. Pure.
///
/// 1. They outlive the term in which they were decided: what changes the gate often is what keeps events from being told, an API
///    server that is away, and that ends the term as well.
/// 2. Never more than ``most``: the oldest gives way, since what the gate is now matters more than what it was.
/// 3. One that is not taken does not hold up the others for ever.
struct UntoldChanges: Sendable {
    /// Several episodes' worth.
    static let most = 64
    private static let (firstPause, longestPause): (UInt64, UInt64) = (5_000, 30_000)

    private var waiting: [ExportGate.Transition] = []
    private var pause = UntoldChanges.firstPause

    /// The one to be told next; nil if all are told.
    var next: ExportGate.Transition? { waiting.first }
    /// How many wait.
    var count: Int { waiting.count }

    /// Takes one in. The one that gave way to it, if any had to.
    mutating func add(_ change: ExportGate.Transition) -> ExportGate.Transition? {
        waiting.append(change)
        return waiting.count > Self.most ? waiting.removeFirst() : nil
    }

    /// Somebody has taken it.
    mutating func told(_ change: ExportGate.Transition) {
        pause = Self.firstPause
        if let place = waiting.firstIndex(of: change) { waiting.remove(at: place) }
    }

    /// It was not taken; after how many milliseconds to go on. What may be its own fault is put behind the others.
    mutating func failed(_ change: ExportGate.Transition, isBusy: Bool) -> UInt64 {
        defer { pause = min(pause * 2, Self.longestPause) }
        if !isBusy, let place = waiting.firstIndex(of: change) { waiting.append(waiting.remove(at: place)) }
        return pause
    }
}
