/// Whole lines that an output file holds past its committed length: written before a crash, not yet known to the
/// ledger. When their records come again they are recognised, as the same record gives the same bytes.
///
/// A line that is written behind them was acknowledged, so the committed length has to cover it, and with it those that
/// still wait (``cover()``): they stay recognised in this process, and only a crash before they come would repeat them.
///
/// A line that stands there twice is recognised twice. Records that never come again (another version writes them
/// differently, their input is gone) are given up after twice as many others have passed, so that they do not keep the
/// file from being rotated.
struct AdoptedLines {
    /// Lines not yet recognised, each with its places among all, the last one first.
    private var places: [[UInt8]: [Int]] = [:]
    /// Where each line begins in the file.
    private var starts: [UInt64] = []
    private var isSettled: [Bool] = []
    private var firstOpen = 0
    /// Records that may yet pass before the rest is given up.
    private var patience = 0
    private var isCovered = false
    /// Bytes behind the last whole line or member.
    let tornBytes: Int

    /// None.
    init() { tornBytes = 0 }

    /// The lines of `tail`, which begins at `offset` of the file.
    ///
    /// - Parameter slack: records that may pass beyond twice the number of lines.
    init(tail: [UInt8], at offset: UInt64, slack: Int) {
        var start = 0
        while let end = tail[start...].firstIndex(of: 0x0A) {
            places[Array(tail[start...end]), default: []].append(starts.count)
            starts.append(offset + UInt64(start))
            start = end + 1
        }
        tornBytes = tail.count - start
        finish(slack)
    }

    /// The lines of whole gzip members that stand in the file's last `count` bytes, from `offset` on. A line begins where
    /// its member does: only a member as a whole can be vouched for, so each should hold one line.
    init(members: [(content: [UInt8], end: Int)], of count: Int, at offset: UInt64, slack: Int) {
        var begin = 0
        for member in members {
            var start = 0
            while let end = member.content[start...].firstIndex(of: 0x0A) {
                places[Array(member.content[start...end]), default: []].append(starts.count)
                starts.append(offset + UInt64(begin))
                start = end + 1
            }
            begin = member.end
        }
        tornBytes = count - begin
        finish(slack)
    }

    private mutating func finish(_ slack: Int) {
        for line in Array(places.keys) { places[line]?.reverse() }
        isSettled = Array(repeating: false, count: starts.count)
        patience = 2 * starts.count + slack
    }

    /// Whether no line waits for its record.
    var isEmpty: Bool { firstOpen == starts.count }

    /// Where the first line begins that still waits for its record: what lies before it may be vouched for. Nil if that is
    /// the whole file.
    var settledLength: UInt64? { isEmpty || isCovered ? nil : starts[firstOpen] }

    /// Lets the committed length cover all lines, as a new one is written behind them.
    mutating func cover() { isCovered = true }

    /// Whether `line`, with its end, is there; if so, it is not there for the next one.
    mutating func take(_ line: [UInt8]) -> Bool {
        guard let place = places[line]?.popLast() else { return false }
        if places[line]?.isEmpty == true { places[line] = nil }
        isSettled[place] = true
        while firstOpen < starts.count, isSettled[firstOpen] { firstOpen += 1 }
        return true
    }

    /// Counts records that were settled, recognised or not.
    mutating func pass(_ records: Int) {
        patience -= records
        if patience < 0 { self = AdoptedLines() }
    }
}
