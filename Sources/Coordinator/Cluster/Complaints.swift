import Model

/// What was logged lately, so that a trouble which lasts is not told several times a second.
struct Complaints: Sendable {
    /// How long the same words are not said again, milliseconds.
    private static let silence: UInt64 = 60_000
    /// Troubles that are told apart; the oldest is forgotten for another.
    private static let limit = 16

    private var told: [(text: String, at: Tick)] = []
    /// The trouble that came last; empty if there was none.
    private(set) var last = ""
    private var lastAt = Tick(nanoseconds: 0)

    /// ``last``, unless it is long ago.
    func recent(now: Tick) -> String { now.milliseconds(since: lastAt) < Self.silence ? last : "" }

    /// Whether `text` is to be logged now.
    mutating func isNew(_ text: String, now: Tick) -> Bool {
        (last, lastAt) = (text, now)
        told.removeAll { now.milliseconds(since: $0.at) >= Self.silence }
        guard !told.contains(where: { $0.text == text }) else { return false }
        if told.count == Self.limit { told.removeFirst() }
        told.append((text, now))
        return true
    }
}
