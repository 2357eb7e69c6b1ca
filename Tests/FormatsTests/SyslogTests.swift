import Formats
import FoundationEssentials
import Model
import Testing

@Suite struct SyslogTests {
    static let encoder = SyslogRecordEncoder(stamp: Records.stamp, options: FormatOptions())

    private func read(_ record: JSON, _ options: FormatOptions = FormatOptions()) throws -> SyslogLine {
        let encoder = SyslogRecordEncoder(stamp: Records.stamp, options: options)
        return try SyslogLine(Wanted.line(record.text, encoder))
    }

    @Test func headerOfAFullRecord() throws {
        let line = try read(Records.full)
        #expect(line.priority == 110)
        #expect(line.timestamp == "2026-03-15T08:30:00.123456Z")
        #expect(line.host == "prod-east")
        #expect(line.app == "sidereal")
        #expect(line.process == "3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3")
        #expect(line.type == "Blocked")
        #expect(line.element == "sidereal@32473")
        #expect(line.values("timestamp") == ["2026-03-15T08:30:00.123456789Z"])
        #expect(line.values("version") == ["0.1.0"])
        #expect(line.values("cluster") == ["prod-east"])
        #expect(line.values("control") == ["cmmc:SC.L2-3.13.1", "nist-800-53:AC-4", "nist-800-53:SC-7"])
        #expect(
            line.message
                == "Blocked (control Effective, integrity Verified): netpol probe of payments: TCP connections timed out."
        )
    }

    @Test(arguments: [("Effective", 6), ("Degraded", 4), ("Ineffective", 3), ("Compromised", 2)])
    func severityFollowsTheEffectiveness(word: String, severity: Int) throws {
        let record = Records.full.setting("spec.result.controlEffectiveness", .string(word))
        for facility in [0, 1, 13, 23] {
            var options = FormatOptions()
            options.facility = facility
            #expect(try read(record, options).priority == facility * 8 + severity)
        }
    }

    @Test(arguments: [
        ("prod-east", "prod-east"), ("", "-"), ("prod east", "prod-east"), ("päd\n", "p-d-"), ("a\u{1F6A8}b", "a-b"),
        (String(repeating: "x", count: 300), String(repeating: "x", count: 255)),
    ])
    func hostIsTheClusterAsPrintableASCII(cluster: String, host: String) throws {
        let stamp = ExportStamp(version: "1 \"]", cluster: cluster)
        let encoder = SyslogRecordEncoder(stamp: stamp, options: FormatOptions())
        let line = try SyslogLine(Wanted.line(Records.full.text, encoder))
        #expect(line.host == host)
        #expect(line.values("cluster") == [cluster])
        #expect(line.values("version") == ["1 \"]"])
    }

    @Test func nameAndNumberAreConfigurable() throws {
        var options = FormatOptions()
        options.appName = String(repeating: "a b", count: 20)
        options.enterpriseID = 4_294_967_295
        let line = try read(Records.full, options)
        #expect(line.app == String(String(repeating: "a-b", count: 20).prefix(48)))
        #expect(line.element == "sidereal@4294967295")
    }

    @Test(arguments: [
        ("2026-03-15T08:30:00Z", "2026-03-15T08:30:00Z"), ("2026-03-15T08:30:00.1Z", "2026-03-15T08:30:00.1Z"),
        ("2026-03-15T08:30:00.1234567Z", "2026-03-15T08:30:00.123456Z"),
        ("2026-03-15t08:30:00.999999999z", "2026-03-15T08:30:00.999999Z"),
        ("2026-03-15T08:30:00.5+05:30", "2026-03-15T03:00:00.500000Z"),
        ("2026-03-15T08:30:00+00:00", "2026-03-15T08:30:00.000000Z"),
        ("9999-12-31T23:59:59.9Z", "9999-12-31T23:59:59.9Z"),
    ])
    func timeIsUTCWithAtMostMicroseconds(source: String, wanted: String) throws {
        let line = try read(Records.full.setting("spec.execution.timestamp", .string(source)))
        #expect(line.timestamp == wanted)
        #expect(line.values("timestamp") == [source])
    }

    @Test func shardIsTheOneOfTheUID() throws {
        let uid = "3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3"
        #expect(try read(Records.full.setting("metadata.uid", .string(uid))).values("shard") == ["120"])
    }

    @Test func controlCharactersBecomePictures() throws {
        let text = "\u{FEFF}a\nb\r\u{0}\u{1F}\u{7F}\t\u{240A}\u{2426}"
        let line = try read(Records.full.setting("spec.result.detail", .string(text)))
        #expect(line.message.hasSuffix("payments: \u{FEFF}a␊b␍␀␟␡␉␦␊␦␦"))
        #expect(line.detail == text)
    }

    @Test func separatorsInKeysAreQuoted() throws {
        let labels: JSON = .members(["a=b%": .string("c=d"), "e\"]\\": .string("\"]\\")])
        let mappings: JSON = .members(["iso:27001": .list([.string("A:1")]), "none": .list([])])
        let record = Records.full.setting("metadata.labels", labels).setting("spec.result.controlMappings", mappings)
            .setting("spec.a.b=c", .null)
        let text = String(decoding: try Wanted.line(record.text, Self.encoder), as: UTF8.self)
        #expect(text.contains(#" label="a%3Db%25=c=d" label="e\"\]\\=\"\]\\" "#))
        #expect(text.contains(#" control="iso%3A27001:A:1" control="none" "#))
    }

    @Test func unknownMembersSayWhereTheyStood() throws {
        guard case .object(let members) = Records.full, case .object(let spec)? = Records.full["spec"] else { return }
        let odd = JSON.Member(key: "a.b=c%", value: .members(["k": .list([.number("1"), .string("\n]")])]))
        let record = JSON.object(
            members.filter { $0.key != "spec" } + [.init(key: "spec", value: .object(spec + [odd])), odd])
        let line = try read(record)
        #expect(
            line.params.filter { $0.name == "field" }.map(\.value) == [
                #"a%2Eb%3Dc%25={"k":[1,"\n]"]}"#, #"spec.a%2Eb%3Dc%25={"k":[1,"\n]"]}"#,
            ])
    }

    @Test(arguments: [true, false])
    func longFrameworkIsNotRepeated(isOrdered: Bool) throws {
        let long = String(repeating: "f", count: 256)
        let controls = JSON.list((0..<2000).map { .string("C-\($0)") })
        var members = [JSON.Member(key: "a", value: .list([.string("]")])), JSON.Member(key: long, value: controls)]
        members.append(.init(key: "z", value: .list([.string("Z-1"), .string("Z-2")])))
        let map = JSON.object(isOrdered ? members : members.reversed())
        let record = Records.full.setting("spec.result.controlMappings", map)
        let bytes = try Wanted.line(record.text, Self.encoder)
        #expect(bytes.count < 40_000)
        let line = try SyslogLine(bytes)
        #expect(line.values("control") == ["a:]", "z:Z-1", "z:Z-2"])
        #expect(line.values("controlMappings") == [JSON.object(members).text])
    }

    @Test func loneSurrogateIsTheReplacementCharacter() throws {
        let text = Records.full.text.replacing("TCP connections", with: #"\ud83d \udc00x\ud83d\ude00"#)
        let line = try SyslogLine(Wanted.line(text, Self.encoder))
        #expect(line.detail == "\u{FFFD} \u{FFFD}x\u{1F600} timed out.")
    }
}

@Suite struct SyslogCutTests {
    private func line(_ detail: String, _ limit: Int) throws -> [UInt8] {
        var options = FormatOptions()
        options.maxMessageBytes = limit
        let encoder = SyslogRecordEncoder(stamp: Records.stamp, options: options)
        return try Wanted.line(Records.full.setting("spec.result.detail", .string(detail)).text, encoder)
    }

    @Test func whatFitsIsNotTouched() throws {
        let whole = try line("detail", 0)
        #expect(try line("detail", whole.count) == whole)
        #expect(try line("detail", 100_000) == whole)
    }

    /// Every bound around a text of characters of one to four bytes, pictures and marks.
    @Test func cutsBetweenCharacters() throws {
        let detail = String(repeating: "aé担🚨\n\u{2426}\u{240A}\u{2426}\u{2426}", count: 20)
        let whole = try line(detail, 0)
        let shortest = try line("", 0).count + " truncated=\"detail\"…".utf8.count
        for limit in shortest..<whole.count {
            let bytes = try line(detail, limit)
            #expect(bytes.count <= limit && bytes.count > limit - 10)
            let cut = try SyslogLine(bytes)
            #expect(cut.values("truncated") == ["detail"])
            #expect(cut.message.hasSuffix("…"))
            let kept = try #require(cut.detail)
            #expect(detail.unicodeScalars.starts(with: kept.unicodeScalars.dropLast()))
        }
    }

    @Test func lineThatCannotBeCutEnoughStaysWhole() throws {
        let whole = try line("detail", 0)
        for limit in [1, 100, try line("", 0).count] {
            #expect(try line("detail", limit) == whole)
        }
        var options = FormatOptions()
        options.maxMessageBytes = 50
        let encoder = SyslogRecordEncoder(stamp: Records.stamp, options: options)
        let none = Records.full.setting("spec.result.detail", nil).text
        #expect(try Wanted.line(none, encoder) == Wanted.line(none, SyslogTests.encoder))
    }

    @Test func longDetailKeepsInsideTheBound() throws {
        let bytes = try line(String(repeating: "担\"\\\u{1}", count: 60_000), 8192)
        #expect(8180...8192 ~= bytes.count)
        #expect(try SyslogLine(bytes).values("truncated") == ["detail"])
    }
}

@Suite struct SyslogRoundTripTests {
    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func everyValueComesBack(seed: UInt64) throws {
        var hostile = HostileRecords(seed: seed)
        var speller = EscapedSpelling(seed: seed)
        for _ in 0..<20 {
            let record = hostile.next()
            let bytes = try Wanted.line(record.text, SyslogTests.encoder)
            let found = try SyslogLine(bytes).record().ordered
            #expect(Array(found.text.utf8) == Array(try Wanted.of(record).text.utf8))
            #expect(try Wanted.line(speller.spell(record), SyslogTests.encoder) == bytes)
        }
    }

    @Test func longTextComesBack() throws {
        let text = String(repeating: "0123456789abcde]\"\\\n担\u{240A}", count: 2500)
        let paths = [
            "spec.probe.profile", "spec.probe.targetNamespace", "spec.result.detail", "spec.execution.jobName",
        ]
        let record = paths.reduce(Records.full) { $0.setting($1, .string(text)) }
        let found = try SyslogLine(Wanted.line(record.text, SyslogTests.encoder)).record().ordered
        #expect(Array(found.text.utf8) == Array(try Wanted.of(record).text.utf8))
    }

    /// Golden/records-f2.ndjson, line by line.
    @Test func goldenLinesHold() throws {
        let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        func lines(_ name: String) throws -> [Substring] {
            try String(contentsOf: golden.appending(path: name), encoding: .utf8).split(separator: "\n")
        }
        let records = try lines("records-f2.ndjson")
        let wanted = try lines("syslog.txt")
        #expect(records.count == 12 && wanted.count == 12)
        for (index, (record, line)) in zip(records, wanted).enumerated() {
            let bytes = try Wanted.line(String(record), SyslogTests.encoder)
            #expect(bytes == Array(line.utf8), "line \(index + 1)")
            _ = try SyslogLine(bytes)
        }
    }
}
