import Formats
import Model
import Protocol
import Testing

@testable import KubernetesAPI

@Suite struct ObjectPageTests {
    @Test func fieldsOfEveryObjectAreFound() throws {
        let page = try ObjectPage(
            Samples.list(
                [
                    Samples.object(targets: #""{\"splunk\":\"delivered\",\"ä\":\"\\u00e4\"}""#),
                    Samples.object(name: "r-2", namespace: "b", version: "43", status: "Exported"),
                    Samples.object(name: "r-3", status: "Failed"), Samples.object(name: "r-4", status: nil),
                    Samples.object(name: "r-5", status: "Lost"),
                ], version: "1234", token: "abc", remaining: 7))
        #expect(page.resourceVersion == "1234" && page.continueToken == "abc" && page.remaining == 7)
        let batch = page.batch
        #expect(batch.entries.count == 5 && batch.refused == 0)
        let first = batch.entries[0]
        #expect(batch.name(first) == "r-1" && batch.namespace(first) == "team-a")
        #expect(batch.resourceVersion(first) == "42" && first.revision == 42 && first.change == .listed)
        #expect(first.key == RecordKey(high: 0xA1B2_C3D4_0001_4002, low: 0x8003_0000_0000_000F))
        #expect(first.createdMilliseconds == 1_772_359_200_000)
        #expect(
            batch.targets(first).map { String(decoding: $0, as: UTF8.self) } == #"{"splunk":"delivered","ä":"\u00e4"}"#)
        #expect(batch.entries.map(\.state) == [.pending, .exported, .failed, .pending, .other])
        #expect(batch.targets(batch.entries[1]) == nil && batch.namespace(batch.entries[1]) == "b")
        #expect(batch.bytes.array.count { $0 == 0x0A } == 5)
    }

    /// Whoever creates an object, or copies one, must not say for the exporter where it was delivered.
    @Test(arguments: [nil, "", "a1b2c3d4-0001-4002-8003-00000000000e", "a1b2c3d4-0001-4002-8003-00000000000f0"])
    func whatIsSaidOfAnotherObjectIsNotBelieved(owner: String?) throws {
        let marks = #""{\"splunk\":\"delivered\"}""#
        let page = try ObjectPage(
            Samples.list([Samples.object(targets: marks, of: owner), Samples.object(name: "r-2", targets: marks)]))
        #expect(page.batch.entries.count == 2)
        #expect(page.batch.targets(page.batch.entries[0]) == nil)
        #expect(page.batch.targets(page.batch.entries[1]) != nil)
    }

    @Test func bookkeepingIsCutOutWhereverItStands() throws {
        let managed = #"[{"manager":"x","fieldsV1":{"f:a":{"}":"]\""}}}]"#
        for (metadata, kept) in [
            (
                #"{"managedFields":M,"name":"n","resourceVersion":"1","uid":"U"}"#,
                #"{"name":"n","resourceVersion":"1","uid":"U"}"#
            ),
            (
                #"{"name":"n","managedFields":M,"resourceVersion":"1","uid":"U"}"#,
                #"{"name":"n","resourceVersion":"1","uid":"U"}"#
            ),
            (
                #"{"name":"n","resourceVersion":"1","uid":"U","managedFields":M}"#,
                #"{"name":"n","resourceVersion":"1","uid":"U"}"#
            ),
            (
                "{ \"name\" : \"n\" ,\n \"managedFields\" : M , \"resourceVersion\":\"1\",\"uid\":\"U\" }",
                "{ \"name\" : \"n\" ,  \"resourceVersion\":\"1\",\"uid\":\"U\" }"
            ),
        ] {
            func filled(_ text: String) -> String {
                text.replacing("U", with: Samples.uid).replacing("M", with: managed)
            }
            let object = #"{"metadata":\#(filled(metadata)),"spec":{"audit":{"exportStatus":"Failed"}}}"#
            let batch = try ObjectPage(Samples.list([object])).batch
            #expect(batch.text(0) == #"{"metadata":\#(filled(kept)),"spec":{"audit":{"exportStatus":"Failed"}}}"#)
            let entry = batch.entries[0]
            #expect(batch.name(entry) == "n" && batch.resourceVersion(entry) == "1" && entry.state == .failed)
            #expect(try APIObjectScan.object(batch.bytes.span, entry.record).whole == entry.record)
        }
        let only = try ObjectPage(Samples.list([#"{"metadata":{"managedFields":[]}}"#])).batch
        #expect(only.entries.isEmpty && only.refused == 1)
    }

    @Test(
        arguments: [
            ("0", 0), ("9999999999999999999", 9_999_999_999_999_999_999), ("99999999999999999999", 0), ("7a", 0),
            ("0012", 12),
        ] as [(String, UInt64)])
    func versionsAreNumbersIfTheyAre(version: String, number: UInt64) throws {
        let batch = try ObjectPage(Samples.list([Samples.object(version: version)])).batch
        #expect(batch.entries[0].revision == number && batch.resourceVersion(batch.entries[0]) == version)
    }

    @Test func singleObjectsAreReadAlike() throws {
        let text = Samples.object(targets: #""{}""#, managed: "[]")
        let batch = try ObjectBatch(object: Array((text + "\n").utf8))
        #expect(batch.text(0) == Samples.object(targets: #""{}""#) && batch.resourceVersion(batch.entries[0]) == "42")
        #expect(batch.record(batch.entries[0]).array == batch.json(batch.entries[0]))
        #expect(try ObjectBatch(object: Array("{}".utf8)).refused == 1)
        #expect(throws: APIObjectFault.self) { try ObjectBatch(object: Array("[]".utf8)) }
    }

    @Test func lineBreaksBetweenTokensBecomeSpaces() throws {
        let pretty = Samples.object(extra: #","text":"a\nb""#).replacing(",\"spec\"", with: ",\r\n  \"spec\"")
        let batch = try ObjectPage(Samples.list([pretty, Samples.object(name: "r-2")])).batch
        #expect(batch.bytes.array.count { $0 == 0x0A || $0 == 0x0D } == 2)
        #expect(batch.text(0) == pretty.replacing("\r\n", with: "  "))
        #expect(batch.text(1) == Samples.object(name: "r-2"))
    }

    @Test func objectsThatCannotBeUsedAreLeftOutAndNamed() throws {
        let cases: [(object: String, says: String)] = [
            (Samples.object(uid: "nothing"), "team-a/r-1 has no metadata.uid"),
            (Samples.object(uid: Samples.uid.replacing("-", with: "+")), "uid"),
            (Samples.object(name: "../secrets"), "usable metadata.name"), (Samples.object(name: "a..b"), "usable"),
            (Samples.object(name: "UPPER"), "usable"), (Samples.object(name: ""), "usable"),
            (Samples.object(name: String(repeating: "a", count: 254)), "usable"),
            (Samples.object(namespace: "a/b"), "usable"), (Samples.object(version: ""), "usable"),
            (Samples.object(version: #"1\u0022"#), "usable"), ("{}", "without a name"),
            (Samples.object().replacing(#""r-1""#, with: "7"), "usable"),
            (Samples.object(extra: #","x":"\#(String(repeating: "y", count: 3 << 20))""#), "bytes"),
        ]
        for (object, says) in cases {
            let batch = try ObjectPage(Samples.list([object, Samples.object(name: "good")])).batch
            #expect(batch.entries.count == 1 && batch.refused == 1, "\(says)")
            #expect(batch.refusals[0].description.contains(says), "\(batch.refusals[0])")
            #expect(batch.name(batch.entries[0]) == "good")
        }
        let many = try ObjectPage(Samples.list(Array(repeating: "{}", count: 100))).batch
        #expect(many.refused == 100 && many.refusals.count == ObjectBatch.maxRefusals)
    }

    /// Bookkeeping may be large, what is carried is not.
    @Test func bookkeepingDoesNotCount() throws {
        let object = Samples.object(managed: #"["\#(String(repeating: "y", count: 4 << 20))"]"#)
        let batch = try ObjectPage(Samples.list([object])).batch
        #expect(batch.text(0) == Samples.object())
    }

    @Test(arguments: [
        "", "null", "[]", "{", "{}", #"{"items":[]}"#, #"{"metadata":{"resourceVersion":"1"}}"#,
        #"{"items":{},"metadata":{"resourceVersion":"1"}}"#, #"{"items":[7],"metadata":{"resourceVersion":"1"}}"#,
        #"{"items":[],"items":[],"metadata":{"resourceVersion":"1"}}"#,
        #"{"items":[],"metadata":{"resourceVersion":"1","resourceVersion":"2"}}"#,
        #"{"items":[],"metadata":{"resourceVersion":""}}"#, #"{"items":[],"metadata":{"resourceVersion":"a b"}}"#,
        #"{"items":[],"metadata":{"resourceVersion":"1"}} x"#, #"{"items":[{"metadata":{"name":"a","name":"b"}}]}"#,
        #"{"items":[{"metadata":{},"metadata":{}}],"metadata":{"resourceVersion":"1"}}"#,
        #"{"items":[{"metadata":{"n\u0061me":"a"}}],"metadata":{"resourceVersion":"1"}}"#,
        #"{"items":[{"spec":{"audit":{},"audit":{}}}],"metadata":{"resourceVersion":"1"}}"#,
        #"{"items":[{"metadata":{"managedFields":1,"managedFields":2}}],"metadata":{"resourceVersion":"1"}}"#,
        #"{"items":[{"a":"\#u{01}"}],"metadata":{"resourceVersion":"1"}}"#,
    ])
    func whatIsNoListIsAFault(text: String) {
        #expect(throws: APIObjectFault.self) { try ObjectPage(Array(text.utf8)) }
    }

    @Test func nestingIsBounded() {
        let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        for place in [#","x":\#(deep)"#, #","x":{"a":\#(deep)}"#] {
            #expect(throws: APIObjectFault.self) { try ObjectPage(Samples.list([Samples.object(extra: place)])) }
        }
    }

    @Test func nullItemsAreNone() throws {
        let page = try ObjectPage(Array(#"{"items":null,"metadata":{"resourceVersion":"1"}}"#.utf8))
        #expect(page.batch.entries.isEmpty && page.continueToken == nil && page.remaining == nil)
    }

    /// Every prefix of a list and every flipped byte is either a fault or a list; nothing traps.
    @Test func damagedListsAreFaultsOrLists() throws {
        let whole = Samples.list([Samples.object(targets: #""{}""#, managed: #"[{"a":1}]"#), Samples.object(name: "b")])
        for end in 0..<whole.count - 1 {
            #expect(throws: APIObjectFault.self) { try ObjectPage(Array(whole[..<end])) }
        }
        var rng = PRNG(seed: 3)
        for _ in 0..<20_000 {
            var damaged = whole
            for _ in 0...rng.below(3) {
                damaged[Int(rng.below(UInt64(damaged.count)))] = UInt8(truncatingIfNeeded: rng.next())
            }
            guard let page = try? ObjectPage(damaged) else { continue }
            for entry in page.batch.entries {
                _ = (page.batch.name(entry), page.batch.targets(entry), page.batch.resourceVersion(entry))
                #expect(throws: Never.self) { try APIObjectScan.object(page.batch.bytes.span, entry.record) }
            }
        }
    }
}
