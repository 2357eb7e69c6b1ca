public import Model

/// Wakes its owner at a time that may change until then: the only timer of an actor that carries out what a machine
/// decides.
///
/// Its owner says anew after each step when to be woken, and asks ``hasRung(_:)`` once it is.
public struct Alarm {
    private var due: Tick?
    private var task: Task<Void, Never>?

    /// Not set.
    public init() {}

    /// Has `ring` called at `due`, with that time; nil: not at all. Nothing changes if that is the time already.
    public mutating func set(for due: Tick?, _ ring: @escaping @Sendable (Tick) async -> Void) {
        guard due != self.due else { return }
        cancel()
        guard let due else { return }
        self.due = due
        task = Task {
            let now = SystemClock.now()
            let wait = due.nanoseconds > now.nanoseconds ? due.nanoseconds - now.nanoseconds : 0
            guard (try? await Task.sleep(for: .nanoseconds(Int64(clamping: wait)))) != nil else { return }
            await ring(due)
        }
    }

    /// As ``set(for:_:)``, unless it is set for an earlier time already.
    public mutating func set(by due: Tick, _ ring: @escaping @Sendable (Tick) async -> Void) {
        if let known = self.due, known <= due { return }
        set(for: due, ring)
    }

    /// It is off again, and may be set for the same time. False if it was meanwhile set for another: it rang too late to
    /// be kept from it, and means nothing.
    public mutating func hasRung(_ time: Tick) -> Bool {
        guard time == due else { return false }
        (due, task) = (nil, nil)
        return true
    }

    /// It does not ring any more, or in vain.
    public mutating func cancel() {
        task?.cancel()
        (due, task) = (nil, nil)
    }
}
