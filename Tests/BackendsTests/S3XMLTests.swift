import Model
import Testing

@testable import Backends

/// Answers come from outside: they are read strictly, or not at all.
@Suite struct S3XMLTests {
    private func leaves(_ text: String) -> [String]? {
        S3XML.leaves(Array(text.utf8))?.map { "\($0.path)=\($0.text)" }
    }

    @Test func documentsAreRead() {
        #expect(leaves("<a/>") == ["a="])
        #expect(leaves("<a></a>\n") == ["a="])
        let odd = "\u{FEFF}<?xml version=\"1.0\"?><!-- > --><a b='>' c=\"</a>\"><d>1</d><e f = 'x'/></a >"
        #expect(leaves(odd) == ["a/d=1", "a/e="])
        #expect(leaves("<a><b>1&amp;2&lt;&gt;&quot;&apos;&#65;&#x1F600;</b></a>") == ["a/b=1&2<>\"'A😀"])
        #expect(leaves("<a><b><![CDATA[<x>&amp;]]]></b></a>") == ["a/b=<x>&amp;]"])
        #expect(leaves("<a>x<b>1</b>y</a>") == ["a/b=1"])
        #expect(leaves("<e:a xmlns:e='u'><e:b>é</e:b></e:a>") == ["e:a/e:b=é"])
    }

    @Test(arguments: [
        "", " ", "text", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a/>x", "x<a/>", "<a><b></a></b>", "<a", "<a b='>",
        "<>", "< a/>", "<a><!--</a>", "<a><![CDATA[</a>", "<![CDATA[x]]><a/>", "<a>&nbsp;</a>", "<a>&;</a>",
        "<a>&#;</a>",
        "<a>&#xD800;</a>", "<a>&#x110000;</a>", "<a>&#+5;</a>", "<a>&amp</a>", "<a>&aaaaaaaaaaaaaaaaaaaa;</a>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<a><!ELEMENT b></a>",
        "<a <b/>>", "<a/ >", "{\"json\":1}", "<html><br></html>",
    ])
    func damageIsRefused(_ text: String) { #expect(leaves(text) == nil) }

    @Test func everythingIsBounded() {
        let deep = String(repeating: "<a>", count: 17) + String(repeating: "</a>", count: 17)
        #expect(leaves(deep) == nil)
        #expect(leaves("<a>" + String(repeating: "<b/>", count: 511) + "</a>")?.count == 511)
        #expect(leaves("<a>" + String(repeating: "<b/>", count: 512) + "</a>") == nil)
        #expect(leaves("<a>" + String(repeating: "x", count: S3XML.maxBytes) + "</a>") == nil)
        let name = String(repeating: "n", count: 129)
        #expect(leaves("<\(name)></\(name)>") == nil)
        #expect(S3XML.leaves([0x3C, 0x61, 0x3E, 0xFF, 0x3C, 0x2F, 0x61, 0x3E]) == nil)
    }

    /// Whatever is cut off or changed, reading ends, and a part is never taken for the whole.
    @Test(arguments: [UInt64(1), 2, 3]) func damagedAnswers(seed: UInt64) {
        let whole = Array("<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>a &amp; b</Message></Error>".utf8)
        for end in 0..<whole.count { #expect(S3XML.leaves(Array(whole[..<end])) == nil) }
        var rng = PRNG(seed: seed)
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...rng.below(4) {
                let at = Int(rng.below(UInt64(bytes.count)))
                let other = whole[Int(rng.below(UInt64(whole.count)))]
                switch rng.below(3) {
                case 0: bytes[at] = UInt8(truncatingIfNeeded: rng.next())
                case 1: bytes.insert(other, at: at)
                default: bytes.remove(at: at)
                }
            }
            for leaf in S3XML.leaves(bytes) ?? [] { #expect(leaf.text.utf8.count <= bytes.count) }
        }
    }

    @Test func errorsAreMadeHarmless() {
        let error = S3Error(
            Array(
                "<Error><Code>Slow\u{7}Down</Code><Message>a\u{1B}[2J\nb\(String(repeating: "c", count: 999))</Message>"
                    .utf8) + Array("<Region>../evil</Region></Error>".utf8))
        #expect(error.code == "Slow Down")
        #expect(error.message.hasPrefix("a [2J bccc") && error.message.count == 300)
        #expect(error.region == nil)
        #expect(S3Error(Array("<html><Code>x</Code></html>".utf8)).code == "")
        #expect(S3Error([]).code == "")
    }
}
