internal import Model

/// Texts prepared for every record, of which each record takes one by its number: what depends on a few closed sets of
/// words is written in one piece.
struct TextTable: Sendable {
    /// The texts one after another, and after them as many bytes as one load may reach too far.
    let bytes: SealedBytes
    private let ends: [UInt32]

    /// The texts that `write` writes for 0 to `count` less one.
    init(count: Int, _ write: (Int, inout ByteWriter) -> Void) {
        var out = ByteWriter()
        var ends: [UInt32] = [0]
        for number in 0..<count {
            write(number, &out)
            ends.append(UInt32(truncatingIfNeeded: out.count))
        }
        for _ in 0..<16 { out.append(0x20) }
        bytes = out.seal()
        self.ends = ends
    }

    /// Where text `number` lies.
    @inline(__always) func range(_ number: Int) -> Range<Int> {
        Int(ends[number])..<Int(ends[number &+ 1])
    }
}

/// The three words by which a record says what a probe saw, as one number.
struct VerdictNumber {
    /// How many there are.
    static let count = Outcome.allCases.count * Effectiveness.allCases.count * Integrity.allCases.count
    let outcome: Outcome
    let effectiveness: Effectiveness
    let integrity: Integrity

    /// The words of `number`, from 0 to ``count`` less one.
    init(_ number: Int) {
        let pairs = Effectiveness.allCases.count * Integrity.allCases.count
        outcome = Outcome.allCases[number / pairs]
        effectiveness = Effectiveness.allCases[number % pairs / Integrity.allCases.count]
        integrity = Integrity.allCases[number % Integrity.allCases.count]
    }

    /// The number of a record's words.
    @inline(__always) static func of(_ record: borrowing ProbeResult) -> Int {
        // The sizes of the sets as literals: `allCases` would build a list.
        (Int(record.outcome.rawValue) &* 4 &+ Int(record.effectiveness.rawValue)) &* 2 &+ Int(record.integrity.rawValue)
    }
}
