/// Finds what somebody probably meant.
enum Suggestion {
    /// Longer words are not compared; the table of distances would grow with the product of the lengths.
    private static let maxLength = 64

    /// The nearest of `known`, if it is near enough: equal but for case and separators, or a third of the longer
    /// word's length away at the most.
    static func nearest(to word: String, among known: [String]) -> String? {
        guard !word.isEmpty, word.unicodeScalars.count <= maxLength else { return nil }
        let plain = folded(word)
        var best: (distance: Int, word: String)?
        for candidate in known where candidate != word {
            let other = folded(candidate)
            let distance = plain == other ? 0 : damerauLevenshtein(plain, other)
            if distance <= max(plain.count, other.count) / 3, distance < best?.distance ?? .max {
                best = (distance, candidate)
            }
        }
        return best?.word
    }

    private static func folded(_ word: String) -> [Unicode.Scalar] {
        word.lowercased().unicodeScalars.filter { $0 != "-" && $0 != "_" && $0 != " " }
    }

    /// Fewest insertions, deletions, substitutions and swaps of neighbours that make one word of the other, no part
    /// being edited twice (optimal string alignment).
    static func damerauLevenshtein(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
        var beforeLast = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for i in 0..<a.count {
            var row = [i + 1]
            for j in 0..<b.count {
                var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
                row.append(cost)
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
