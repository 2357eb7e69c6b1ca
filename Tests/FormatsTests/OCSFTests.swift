import Formats
import FoundationEssentials
import Model
import Testing

@Suite struct OCSFTests {
    static let encoder = OCSFRecordEncoder(stamp: Records.stamp, options: FormatOptions())

    static func event(_ record: JSON) throws -> JSON {
        let bytes = try Wanted.line(record.text, encoder)
        #expect(bytes.allSatisfy { $0 >= 0x20 })
        return try Records.parsed(bytes)
    }

    @Test func requiredFieldsAndTheirLabels() throws {
        let event = try Self.event(Records.full)
        let wanted: KeyValuePairs<String, JSON> = [
            "activity_id": .number("1"), "activity_name": .string("Create"), "category_uid": .number("2"),
            "category_name": .string("Findings"), "class_uid": .number("2003"),
            "class_name": .string("Compliance Finding"), "type_uid": .number("200301"),
            "type_name": .string("Compliance Finding: Create"), "status_id": .number("1"), "status": .string("New"),
            "time": .number("1773563400123"), "duration": .number("3120"), "metadata.version": .string("1.7.0"),
            "metadata.uid": .string("6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
            "metadata.original_time": .string("2026-03-15T08:30:00.123456789Z"),
            "metadata.tenant_uid": .string("prod-east"), "metadata.product.version": .string("0.1.0"),
            "metadata.product.name": .string("Sidereal"), "metadata.product.vendor_name": .string("Sidereal"),
            "metadata.log_name": .string("siderealproberesults"),
            "finding_info.uid": .string("3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3"),
            "finding_info.title": .string("netpol probe of payments"),
            "finding_info.analytic.name": .string("netpol"), "finding_info.desc": .string("TCP connections timed out."),
            "message": .string("Blocked: netpol probe of payments"), "compliance.control": .string("netpol"),
            "compliance.status_code": .string("Blocked"),
            "compliance.standards": .list([.string("cmmc"), .string("nist-800-53")]),
            "compliance.requirements": .list(
                ["cmmc SC.L2-3.13.1", "nist-800-53 AC-4", "nist-800-53 SC-7"].map { .string($0) }),
            "unmapped.export.version": .string("0.1.0"), "unmapped.export.cluster": .string("prod-east"),
        ]
        for (path, value) in wanted { #expect(event[path] == value, "\(path)") }
    }

    @Test(arguments: [
        ("Effective", "1", "Informational", "1", "Pass"), ("Degraded", "3", "Medium", "2", "Warning"),
        ("Ineffective", "4", "High", "3", "Fail"), ("Compromised", "5", "Critical", "3", "Fail"),
    ])
    func verdictFollowsTheEffectiveness(
        word: String, severityID: String, severity: String, statusID: String, status: String
    ) throws {
        let event = try Self.event(Records.full.setting("spec.result.controlEffectiveness", .string(word)))
        let wanted: [JSON.Member] = [
            .init(key: "severity", value: .string(severity)), .init(key: "severity_id", value: .number(severityID)),
        ]
        #expect(event["severity"] == wanted[0].value && event["severity_id"] == wanted[1].value)
        #expect(event["compliance.status"] == .string(status))
        #expect(event["compliance.status_id"] == .number(statusID))
        let check = JSON.object(
            wanted + [
                .init(key: "status", value: .string(status)), .init(key: "status_id", value: .number(statusID)),
                .init(key: "uid", value: .string("SC.L2-3.13.1")),
                .init(key: "name", value: .string("cmmc SC.L2-3.13.1")),
                .init(key: "standards", value: .list([.string("cmmc")])),
            ])
        guard case .list(let checks)? = event["compliance.checks"] else {
            Issue.record("no checks")
            return
        }
        #expect(checks.count == 3 && checks[0] == check.ordered)
    }

    @Test(arguments: [
        ("T1611", "T1611", nil), ("T1552.007", "T1552", "T1552.007"), ("T1.", "T1.", nil), ("T.1", "T.1", nil),
        ("T1.2.3", "T1.2.3", nil), ("TA0006 \"\n", "TA0006 \"\n", nil), ("", "", nil),
    ])
    func attackIsATechniqueOrASubTechnique(id: String, technique: String, sub: String?) throws {
        let event = try Self.event(Records.full.setting("spec.result.mitreAttackId", .string(id)))
        guard case .list(let attacks)? = event["finding_info.attacks"] else {
            Issue.record("no attacks")
            return
        }
        #expect(attacks.count == 1)
        #expect(attacks[0]["technique.uid"] == .string(technique))
        #expect(attacks[0]["sub_technique.uid"] == sub.map { .string($0) })
    }

    @Test(arguments: [
        ("1969-12-31T23:59:59.9995Z", "-1"), ("1970-01-01T00:00:00Z", "0"), ("2026-03-15T08:30:00.9999+01:00", ""),
        ("0001-01-01T00:00:00Z", "-62135596800000"), ("9999-12-31T23:59:59.999999999Z", "253402300799999"),
    ])
    func timeIsInMilliseconds(source: String, wanted: String) throws {
        let event = try Self.event(Records.full.setting("spec.execution.timestamp", .string(source)))
        #expect(event["time"] == .number(wanted.isEmpty ? "1773559800999" : wanted))
        #expect(event["metadata.original_time"] == .string(source))
    }

    @Test func namespaceIsTheResource() throws {
        let event = try Self.event(Records.full)
        guard case .list(let resources)? = event["resources"], case .list(let observables)? = event["observables"]
        else {
            Issue.record("no resources or observables")
            return
        }
        #expect(resources.map { $0["name"] } == [.string("payments")])
        #expect(resources[0]["role_id"] == .number("1") && resources[0]["role"] == .string("Target"))
        #expect(event["resource"] == nil)
        let found = observables.map { [$0["name"], $0["type_id"], $0["value"]] }
        #expect(
            found == [
                [.string("resources.name"), .number("99"), .string("payments")],
                [.string("metadata.uid"), .number("10"), .string("6ba7b810-9dad-41d1-80b4-00c04fd430c8")],
                [.string("finding_info.uid"), .number("99"), .string("3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3")],
            ])
    }

    @Test(arguments: [true, false])
    func longFrameworkHasNoChecks(isOrdered: Bool) throws {
        let long = String(repeating: "f", count: 256)
        let controls = JSON.list((0..<2000).map { .string("C-\($0)") })
        var members = [JSON.Member(key: "a", value: .list([.string("A-1")])), JSON.Member(key: long, value: controls)]
        members.append(.init(key: "z", value: .list([])))
        let map = JSON.object(isOrdered ? members : members.reversed())
        let record = Records.full.setting("spec.result.controlMappings", map)
        #expect(try Wanted.line(record.text, Self.encoder).count < 40_000)
        let event = try Self.event(record)
        #expect(event["compliance.standards"] == .list([.string("a"), .string("z")]))
        #expect(event["compliance.requirements"] == .list([.string("a A-1")]))
        #expect(event["unmapped.resource.spec.result.controlMappings"] == map.ordered)
    }

    @Test func vendorAndClusterAreEscaped() throws {
        var options = FormatOptions()
        options.vendor = "A \"B\""
        options.product = "\n\\"
        let encoder = OCSFRecordEncoder(stamp: ExportStamp(version: "1", cluster: "\"c\""), options: options)
        let event = try Records.parsed(Wanted.line(Records.full.text, encoder))
        #expect(event["metadata.product.vendor_name"] == .string("A \"B\""))
        #expect(event["metadata.product.name"] == .string("\n\\"))
        #expect(event["metadata.tenant_uid"] == .string("\"c\""))
    }
}

@Suite struct OCSFRoundTripTests {
    /// The record put together again, in the shape of the resource.
    static func record(_ event: JSON) throws -> JSON {
        var record = try #require(event["unmapped.resource"])
        record = record.setting("spec.probe.profile", event["compliance.control"])
        if case .list(let resources)? = event["resources"] {
            record = record.setting("spec.probe.targetNamespace", resources[0]["name"])
        }
        record = record.setting("spec.result.outcome", event["compliance.status_code"])
        record = record.setting("spec.result.detail", event["finding_info.desc"])
        if case .list(let attacks)? = event["finding_info.attacks"] {
            let id = attacks[0]["sub_technique.uid"] ?? attacks[0]["technique.uid"]
            record = record.setting("spec.result.mitreAttackId", id)
        }
        record = record.setting("spec.execution.timestamp", event["metadata.original_time"])
        record = record.setting("spec.execution.durationMs", event["duration"])
        if record["spec.result.controlMappings"] == nil, case .list(let standards)? = event["compliance.standards"] {
            var controls: [JSON] = []
            if case .list(let checks)? = event["compliance.checks"] { controls = checks }
            let members = standards.compactMap { standard -> JSON.Member? in
                guard case .string(let name) = standard else { return nil }
                let own = controls.filter { $0["standards"] == .list([standard]) }.compactMap { $0["uid"] }
                return JSON.Member(key: name, value: .list(own))
            }
            record = record.setting("spec.result.controlMappings", .object(members))
        }
        for path in ["metadata.labels", "spec.result.nistControls"]
        where [.object([]), .list([])].contains(record[path]) {
            record = record.setting(path, nil)
        }
        return record.ordered
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func everyValueComesBack(seed: UInt64) throws {
        var hostile = HostileRecords(seed: seed &+ 500)
        var speller = EscapedSpelling(seed: seed)
        for _ in 0..<20 {
            let record = hostile.next()
            let bytes = try Wanted.line(record.text, OCSFTests.encoder)
            #expect(bytes.allSatisfy { $0 >= 0x20 })
            let found = try Self.record(Records.parsed(bytes))
            #expect(Array(found.text.utf8) == Array(try Wanted.of(record).text.utf8))
            #expect(try Wanted.line(speller.spell(record), OCSFTests.encoder) == bytes)
        }
    }

    /// More controls than the encoder keeps places for.
    @Test func manyControlsComeBack() throws {
        let members = (0..<20).map { framework in
            JSON.Member(
                key: "framework-\(framework + 10)",
                value: .list((0..<framework).map { .string("C-\(framework).\($0)") }))
        }
        let record = Records.full.setting("spec.result.controlMappings", .object(members))
        let found = try Self.record(OCSFTests.event(record))
        #expect(Array(found.text.utf8) == Array(try Wanted.of(record).text.utf8))
    }

    /// Golden/records-f2.ndjson, line by line.
    @Test func goldenLinesHold() throws {
        let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        func lines(_ name: String) throws -> [Substring] {
            try String(contentsOf: golden.appending(path: name), encoding: .utf8).split(separator: "\n")
        }
        let records = try lines("records-f2.ndjson")
        let wanted = try lines("ocsf.ndjson")
        #expect(records.count == 12 && wanted.count == 12)
        for (index, (record, line)) in zip(records, wanted).enumerated() {
            let bytes = try Wanted.line(String(record), OCSFTests.encoder)
            #expect(bytes == Array(line.utf8), "line \(index + 1)")
        }
    }
}
