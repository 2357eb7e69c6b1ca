import Model

/// What an API server did not take of the status of results, and what of it is worth a line in the log. Pure.
///
/// One cause, such as a policy, mostly meets every result: it is told once, and again with a number when it is still there after
/// ``silenceMilliseconds``.
struct StatusTroubles: Sendable {
    /// What is told of a cause.
    struct Told: Sendable, Equatable {
        /// How often it was met since it was told before, this time among them.
        var count: UInt64
    }

    private struct Cause: Sendable {
        var at: Tick
        var count: UInt64 = 0
    }

    /// How long a cause is not told again, milliseconds.
    static let silenceMilliseconds: UInt64 = 600_000
    /// Causes that are told apart at a time; the others are one.
    static let mostCauses = 16

    private var causes: [String: Cause] = [:]
    /// Requests of which it was told that a status is not taken.
    private(set) var refused: UInt64 = 0
    /// What the server said to the last of them.
    private(set) var last = ""

    /// Nothing was refused yet.
    init() {}

    /// The server does not take a result's status; what to tell, nil: nothing.
    ///
    /// - Parameters:
    ///   - text: the failure in words.
    ///   - name: of the object. Without it the words are the same for all that the cause meets.
    mutating func refused(_ text: String, name: String, now: Tick) -> Told? {
        refused += 1
        last = text
        let words = text.split(separator: name, omittingEmptySubsequences: false).joined(separator: "…")
        let key = causes[words] != nil || causes.count < Self.mostCauses ? words : ""
        var cause = causes[key] ?? Cause(at: now)
        let isTold = causes[key] == nil || now.milliseconds(since: cause.at) >= Self.silenceMilliseconds
        cause.count += 1
        let count = cause.count
        if isTold { cause = Cause(at: now) }
        causes[key] = cause
        guard isTold else { return nil }
        causes = causes.filter { now.milliseconds(since: $0.value.at) < Self.silenceMilliseconds || $0.value.count > 0 }
        return Told(count: count)
    }

    /// The label of an HTTP status: few, whatever servers and middlemen make up.
    static func label(_ code: Int?) -> String {
        guard let code else { return "none" }
        return known.contains(code) ? "\(code)" : "other"
    }

    private static let known: Set = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 502, 503, 504]
}
