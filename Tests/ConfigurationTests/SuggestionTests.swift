import Testing

@testable import Configuration

@Suite struct SuggestionTests {
    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("", "abc", 3), ("format", "format", 0), ("formt", "format", 1),
        ("fromat", "format", 1), ("kitten", "sitting", 3), ("ca", "abc", 3), ("abcd", "badc", 2),
    ])
    func distances(_ a: String, _ b: String, _ distance: Int) {
        #expect(Suggestion.damerauLevenshtein(Array(a.unicodeScalars), Array(b.unicodeScalars)) == distance)
        #expect(Suggestion.damerauLevenshtein(Array(b.unicodeScalars), Array(a.unicodeScalars)) == distance)
    }

    @Test func onlyWhatIsNearIsSuggested() {
        let known = ["format", "endpoint", "secretRef"]
        #expect(Suggestion.nearest(to: "frmat", among: known) == "format")
        #expect(Suggestion.nearest(to: "secret_ref", among: known) == "secretRef")
        #expect(Suggestion.nearest(to: "SECRETREF", among: known) == "secretRef")
        #expect(Suggestion.nearest(to: "endpiont", among: known) == "endpoint")
        #expect(Suggestion.nearest(to: "zzz", among: known) == nil)
        #expect(Suggestion.nearest(to: "", among: known) == nil)
        #expect(Suggestion.nearest(to: String(repeating: "format", count: 100_000), among: known) == nil)
    }

    @Test func quantities() {
        let durations = [("250ms", 250), ("5s", 5_000), ("5", 5_000), ("5m", 300_000), ("24h", 86_400_000), ("0", 0)]
        for (text, value) in durations { #expect(Quantity.milliseconds(text) == UInt64(value)) }
        let sizes = [("900kB", 900_000), ("5MB", 5_000_000), ("16MiB", 16 << 20), ("17", 17), ("1GiB", 1 << 30)]
        for (text, value) in sizes { #expect(Quantity.bytes(text) == UInt64(value)) }
        for text in ["", "s", "-5s", "+5s", "5 s", "5S", "1.5s", "5sm", "٥s", "0x5", "18446744073709551616"] {
            #expect(Quantity.milliseconds(text) == nil, "\(text)")
        }
        #expect(Quantity.milliseconds("18446744073709551615h") == .max)
        #expect(Quantity.shownMilliseconds(86_400_000) == "1d")
        #expect(Quantity.shownMilliseconds(1_500) == "1500ms")
        #expect(Quantity.shownBytes(900_000) == "900kB")
        #expect(Quantity.shownBytes(1 << 20) == "1MiB")
        #expect(Quantity.shownBytes(1_234) == "1234")
    }
}
