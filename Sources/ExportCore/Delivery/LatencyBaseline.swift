/// How long a target takes for a request when it is at ease, by size of request.
///
/// A big batch takes longer than a small one, so only requests of like size are compared: sizes are counted in classes of
/// a quarter of an octave, within which the number of records differs by a fifth at the most.
struct LatencyBaseline: Sendable {
    /// Answers quicker than this are all the same to us: below, it is our own scheduling that differs.
    private static let smallest: Double = 10_000_000
    /// Requests of up to 2^24 records are told apart.
    private static let classes = 24 * 4

    /// Nanoseconds; 0 for a size that was not seen yet.
    private var known: [Double] = Array(repeating: 0, count: classes)

    /// Notes an answer and returns how many times as long as usual it took; nil for a size that is new.
    ///
    /// A quicker answer lowers what is usual half of the way, so that one lucky answer does not decide. A slower one
    /// raises it by an eighth, and only if `isAtEase`, when few requests are in flight: a congestion of our own making
    /// would else soon be taken for the receiver's nature.
    mutating func note(nanoseconds: UInt64, records: Int, isAtEase: Bool) -> Double? {
        let index = Self.sizeClass(records)
        let took = max(Double(nanoseconds), Self.smallest)
        let usual = known[index]
        guard usual > 0 else {
            known[index] = took
            return nil
        }
        let weight = took < usual ? 0.5 : isAtEase ? 0.125 : 0
        known[index] = usual + (took - usual) * weight
        return took / usual
    }

    /// Quarters of an octave: 1, 2, 3, 4, 5, 6, 7, 8–9, 10–11, 12–13, 14–15, 16–19, …
    static func sizeClass(_ records: Int) -> Int {
        let count = max(records, 1)
        let octave = Int.bitWidth - 1 - count.leadingZeroBitCount
        let quarter = octave >= 2 ? (count >> (octave - 2)) & 3 : (count << (2 - octave)) & 3
        return min(octave * 4 + quarter, classes - 1)
    }
}
