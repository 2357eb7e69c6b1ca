import Formats
import Model
import Testing

/// The grammars that the fuzzing trusts refuse what they must.
@Suite struct LineGrammarTests {
    private func isTaken(_ line: String, _ format: FormatKind) -> Bool {
        let encoder = FormatEncoder(format, stamp: ExportStamp(version: "1", cluster: "c"), options: FormatOptions())
        do throws(LineFault) {
            try LineGrammar.check(Array(line.utf8), as: encoder)
            return true
        } catch {
            return false
        }
    }

    @Test func cef() {
        let head = #"CEF:0|V\|\\|P|1|id|na=me|10|"#
        for good in ["a=b", #"a=b c\=d e=|f\\ g=\n\r"#, "a=b  c d=e", ""] { #expect(isTaken(head + good, .cef)) }
        for bad in [
            "a", "=b", "a=", "a= b=c", " a=b", "a=b ", "a=b=c", #"a=\x"#, #"a=b\"#, "a=b a=c", "a-b=c", "a=b\nc=d",
            "a=b\r",
        ] { #expect(!isTaken(head + bad, .cef), "\(bad)") }
        for bad in [
            "CEF:2|V|P|1|id|n|1|", "CEF:0|V|P|1|id|n|11|a=b", "CEF:0|V|P|1|id|n|x|a=b", #"CEF:0|V\x|P|1|id|n|1|a=b"#,
            "CEF:0||P|1|id|n|1|a=b", "CEF:0|V|P|1|id|n", "CEF:0|V|P|\(String(repeating: "1", count: 32))|id|n|1|a=b",
        ] { #expect(!isTaken(bad, .cef), "\(bad)") }
    }

    @Test func leef() {
        let head = "LEEF:2.0|V|P|1|id|x09|"
        for good in ["devTime=1\tsev=1", "devTime=1\tsev=1\ta=b=c|d\te="] { #expect(isTaken(head + good, .leef)) }
        for bad in [
            "sev=1", "devTime=1\tsev=1\tsev=2", "devTime=1\tsev=1\t", "devTime=1\tsev=1\ta b=c", "devTime=1\tsev=1\n",
            "",
        ] { #expect(!isTaken(head + bad, .leef), "\(bad)") }
        #expect(!isTaken("LEEF:2.0|V|P|1|id|^|devTime=1\tsev=1", .leef))
        #expect(!isTaken("LEEF:1.0|V|P|1|id|x09|devTime=1\tsev=1", .leef))
        #expect(!isTaken("LEEF:2.0|V||1|id|x09|devTime=1\tsev=1", .leef))
    }

    @Test func syslog() {
        let head = "<0>1 2026-03-15T08:30:00.123456Z h a - m "
        for good in [
            "-", #"[x@1 a="b" a="c\"\\\]"]"#, "[x][y@2]", "- \u{FEFF}text", #"[x a="é"] \#("\u{FEFF}")"#,
        ] { #expect(isTaken(head + good, .syslog), "\(good)") }
        for bad in [
            "", "[x", "[x][x]", #"[x a="]"]"#, #"[x a="\n"]"#, #"[x a=b]"#, #"[x  a="b"]"#, "[x y z]", "- text",
            "-text",
            "- \u{FEFF}a\tb", #"[\#(String(repeating: "x", count: 33))]"#,
        ] { #expect(!isTaken(head + bad, .syslog), "\(bad)") }
        for bad in [
            "<00>1 - h a - m -", "<192>1 - h a - m -", "<1>2 - h a - m -", "<1>1 2026-03-15t08:30:00Z h a - m -",
            "<1>1 2026-03-15T08:30:00.1234567Z h a - m -", "<1>1 2026-03-15T08:30:00+01:00 h a - m -",
            "<1>1 2026-03-15T08:30:00Z h é - m -", "<1>1 2026-03-15T08:30:00Z h  - m -",
        ] { #expect(!isTaken(bad, .syslog), "\(bad)") }
    }

    @Test(arguments: [FormatKind.json, .ocsf])
    func json(_ format: FormatKind) {
        #expect(isTaken(#"{"a":[{"b":1},{"b":2}],"c":{"a":1}}"#, format))
        for bad in [
            "", "[]", "{} ", #"{"a":1,"a":2}"#, #"{"x":[{"a":1,"\u0061":2}]}"#, #"{"a":01}"#, "{\"a\":\"\u{1}\"}",
            "{\n}",
        ] { #expect(!isTaken(bad, format), "\(bad)") }
    }
}
