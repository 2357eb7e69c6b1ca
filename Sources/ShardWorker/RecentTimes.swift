/// What the last requests to a target took.
public struct RecentTimes: Sendable {
    private static let kept = 32
    private var times: [UInt64] = []
    private var next = 0

    /// None yet.
    public init() {}

    /// The median, nanoseconds; 0 before the first request.
    public var median: UInt64 { times.isEmpty ? 0 : times.sorted()[times.count / 2] }

    mutating func add(nanoseconds: UInt64) {
        if times.count < Self.kept {
            times.append(nanoseconds)
        } else {
            times[next] = nanoseconds
            next = (next + 1) % Self.kept
        }
    }
}
