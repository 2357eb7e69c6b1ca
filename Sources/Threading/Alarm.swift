public import Model

/// Wakes its owner at a time that may change until then: the only timer of an actor that carries out what a machine
/// decides.
///
/// Its owner says anew after each step when to be woken, and asks ``hasRung(_:)`` once it is.
public struct Alarm {
    private let number = AlarmClock.shared.number()
    private var due: Tick?

    /// Not set.
    public init() {}

    /// Has `ring` called at `due`, with that time; nil: not at all. Nothing changes if that is the time already. A later
    /// time than before is set at next to no cost. All alarms ring on one thread, so whoever hears it does no work there.
    public mutating func set(for due: Tick?, _ ring: @escaping @Sendable (Tick) -> Void) {
        guard due != self.due else { return }
        self.due = due
        AlarmClock.shared.set(number, for: due, ring)
    }

    /// It is off again, and may be set for the same time. False if it was meanwhile set for another: it rang too late to
    /// be kept from it, and means nothing.
    public mutating func hasRung(_ time: Tick) -> Bool {
        guard time == due else { return false }
        due = nil
        return true
    }

    /// It does not ring any more, or in vain.
    public mutating func cancel() { set(for: nil) { _ in } }
}
