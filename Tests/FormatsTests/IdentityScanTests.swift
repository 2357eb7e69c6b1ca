import Model
import Synthetic
import Testing

@testable import Formats

@Suite struct IdentityScanTests {
    private func scanned(_ bytes: [UInt8], _ range: Range<Int>? = nil) -> UIDHash? {
        IdentityScan.uidHash(bytes.span, range ?? 0..<bytes.count)
    }

    /// The reader's answer; nil if it refuses the record.
    private func read(_ bytes: [UInt8]) -> UIDHash? {
        var reader = ProbeResultReader()
        guard (try? reader.read(bytes.span, 0..<bytes.count)) != nil else { return nil }
        return reader.record.uidHash
    }

    private func hash(_ uid: String) -> UIDHash {
        var hash = UIDHash()
        for byte in uid.utf8 { hash.add(byte) }
        return hash
    }

    @Test(arguments: 0..<4)
    func hostileRecordsGiveTheReadersUID(part: UInt64) {
        for seed in part * 1_000..<(part + 1) * 1_000 {
            var source = FuzzRecord(seed: seed)
            let record = Array(source.next().utf8)
            guard let expected = read(record) else { continue }
            #expect(scanned(record) == expected, "seed \(seed)")
        }
    }

    @Test func generatedRecordsGiveTheReadersUID() throws {
        var generator = ProbeResultGenerator(seed: 7)
        var out = ByteWriter(capacity: 1 << 20)
        for _ in 0..<2_000 {
            out.removeAll()
            generator.next(into: &out)
            var end = out.count
            if out.span[end - 1] == 0x0A { end -= 1 }
            var reader = ProbeResultReader()
            try reader.read(out.span, 0..<end)
            #expect(IdentityScan.uidHash(out.span, 0..<end) == reader.record.uidHash)
        }
    }

    /// Whatever the reader still accepts after damage has the same uid here; the rest does no harm.
    @Test(arguments: 0..<4)
    func damagedRecordsNeverDisagree(part: UInt64) {
        var accepted = 0
        for seed in part * 2_000..<(part + 1) * 2_000 {
            var source = FuzzRecord(seed: seed / 10)
            var mutator = Mutator(seed: seed)
            let damaged = mutator.mutate(Array(source.next().utf8))
            let scan = scanned(damaged)
            #expect(scanned(damaged) == scan)
            guard let expected = read(damaged) else { continue }
            accepted += 1
            #expect(scan == expected, "seed \(seed)")
        }
        #expect(accepted > 200)
    }

    @Test(arguments: [
        (#"{"metadata":{"uid":"foobar"}}"#, "foobar"),
        (
            "\u{FEFF} {\"spec\":{\"a\":[\"}\",{\"uid\":\"no\"}],\"metadata\":{\"uid\":\"no\"}} ,\"metadata\" : {\"uid\" :\t\"a\"",
            "a"
        ),
        (#"{"metadata":{"labels":{"uid":"no"},"name":"\"uid\":\"no\"","uid":"yes"}}"#, "yes"),
        (#"{"m\u0065tadata":{"\u0075id":"foobar"}}"#, "foobar"),
        (#"{"\u0061":1,"metadata":{"x\"":2,"uid":"foobar"}}"#, "foobar"),
        (#"{"n":-1.5e3,"t":true,"z":null,"metadata":{"g":3,"uid":"b"}}"#, "b"),
    ])
    func uidIsFoundWhereverItStands(record: String, uid: String) {
        #expect(scanned(Array(record.utf8)) == hash(uid))
    }

    @Test(arguments: [
        "", "{", "{}", "[]", "null", #"{"metadata":null}"#, #"{"metadata":{}}"#, #"{"metadata":{"uid":""}}"#,
        #"{"metadata":{"uid":7}}"#, #"{"metadata":{"uid":"a b"}}"#, #"{"metadata":{"uid":"a\u0062"}}"#,
        #"{"metadata":{"uid":"é"}}"#, #"{"metadata":{"uid":"open"#, #"{"metadata":{"uid"#, #"{"spec":{"uid":"a"}}"#,
        #"{"a":"\"#, #"{"a":[[["#, #"{"a" "metadata":{"uid":"a"}}"#,
        "{\"metadata\":{\"uid\":\"" + String(repeating: "a", count: 129) + "\"}}",
    ])
    func withoutAUIDThereIsNone(record: String) {
        #expect(scanned(Array(record.utf8)) == nil)
    }

    @Test func nothingOutsideTheRangeIsLookedAt() {
        let bytes = Array(#"xx{"metadata":{"uid":"abc"}}"#.utf8)
        #expect(scanned(bytes, 2..<bytes.count) == hash("abc"))
        for end in 2..<bytes.count - 3 { #expect(scanned(bytes, 2..<end) == nil) }
        // A backslash as the last byte of the range hides none of what follows.
        let slash = Array(#"{"metadata":{"uid":"a\","#.utf8)
        #expect(scanned(slash, 0..<slash.count - 2) == nil)
    }

    /// Depth is no matter of the stack.
    @Test func deepNestingIsPassedOver() {
        let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        #expect(scanned(Array("{\"a\":\(deep),\"metadata\":{\"uid\":\"a\"}}".utf8)) == hash("a"))
    }
}
