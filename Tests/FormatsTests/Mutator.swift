import Model

/// Damages bytes: flips, cuts, inserts, repeats, splices; some damage knows what JSON is made of.
struct Mutator {
    private var rng: PRNG

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    private static let tokens: [[UInt8]] = [
        "\"", "\\", "{", "}", "[", "]", ",", ":", "null", "true", "-", "0", "1e9", ".5", "\\u0041", "\\ud83d",
        "\\ude00",
        " ", "\n", "\u{FEFF}", "é", "\u{1F6A8}", "\"x\":1,", ",\"y\":[]", "{\"a\":{}}", "\\\"",
    ].map { Array($0.utf8) }

    mutating func below(_ bound: Int) -> Int { Int(rng.below(UInt64(bound))) }

    /// A damaged copy: one to three changes.
    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for _ in 0...below(3) { change(&result) }
        return result
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else {
            bytes = [UInt8(truncatingIfNeeded: rng.next())]
            return
        }
        let at = below(bytes.count)
        switch below(9) {
        case 0: bytes[at] ^= 1 << UInt8(below(8))
        case 1: bytes[at] = UInt8(truncatingIfNeeded: rng.next())
        case 2: bytes.remove(at: at)
        case 3: bytes.removeSubrange(at..<min(bytes.count, at + 1 + below(40)))
        case 4: bytes.insert(UInt8(truncatingIfNeeded: rng.next()), at: at)
        case 5, 6: bytes.insert(contentsOf: Self.tokens[below(Self.tokens.count)], at: at)
        case 7:
            let from = below(bytes.count)
            bytes.insert(contentsOf: bytes[from..<min(bytes.count, from + 1 + below(60))], at: at)
        default: bytes.removeSubrange(at...)
        }
    }
}
