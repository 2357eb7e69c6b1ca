import FoundationEssentials
import Testing

/// Everything that the program says at `warning` or worse, and every code, stands in docs/runbook.md.
@Suite struct RunbookTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// With one space in place of every stretch of white space.
    private static let runbook: String = {
        let bytes = FileManager.default.contents(atPath: root + "/docs/runbook.md") ?? Data()
        return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }()

    /// Calls that log at `warning` or worse.
    private static let logs = ["log.critical(", "log.error(", "log.warning(", "log.log("]

    /// Where such a call has no words of its own, how often, and whose words it passes on.
    private static let carriers = [
        // `fail(`.
        "Coordinator/Cluster/ClusterCoordinator.swift": 1,
        // `complain(` and `refused(`.
        "Coordinator/Cluster/ClusterCoordinator+Election.swift": 1,
        // What the gate says of itself: `ExportGate+Events.swift`.
        "Coordinator/Cluster/ClusterCoordinator+Gate.swift": 1,
        // `note(` of the sources of results.
        "Coordinator/Cluster/ClusterCoordinator+Stores.swift": 1,
        // `refusals.tell(`.
        "Coordinator/Cluster/PeerRefusals.swift": 1,
        // `complaints.tell(`.
        "ShardWorker/Cluster/DialComplaints.swift": 1,
        // Reasons, which have codes.
        "ShardWorker/TargetLane+Notes.swift": 1,
        "SiderealExport/Cluster/WorkerProcess.swift": 1,
        "SiderealExport/Run/RunSession.swift": 1,
        // What ended the run, and records that are refused.
        "SiderealExport/Run/ExportRun.swift": 1,
        "SiderealExport/Run/RefusalLog.swift": 1,
    ]

    /// By folder, the functions whose words one of the carriers logs.
    private static let speakers = [
        "Coordinator/Cluster/": ["complain(", "refused(", "refusals.tell(", "fail("],
        "Coordinator/Kubernetes/": ["note("],
        "Coordinator/Store/": ["note("],
        "KubernetesAPI/Objects/": ["refuse("],
        "ShardWorker/Cluster/": ["complaints.tell("],
        "SiderealExport/Cluster/": ["refusals.tell("],
    ]

    private static func sources(below folder: String = "") throws -> [(name: String, text: SwiftText)] {
        try FileManager.default.subpathsOfDirectory(atPath: root + "/Sources/" + folder)
            .filter { $0.hasSuffix(".swift") && !(folder + $0).hasPrefix("Sandbox/") }.sorted()
            .map { name in
                let bytes = try #require(FileManager.default.contents(atPath: root + "/Sources/" + folder + name))
                return (folder + name, SwiftText(String(decoding: bytes, as: UTF8.self)))
            }
    }

    private static func file(_ name: String) throws -> SwiftText {
        let bytes = try #require(FileManager.default.contents(atPath: root + "/Sources/" + name), "\(name) is gone")
        return SwiftText(String(decoding: bytes, as: UTF8.self))
    }

    private func check(_ text: SpokenText, in file: String) {
        #expect(
            Self.runbook.contains(text.telling.isEmpty ? text.pattern : text.telling),
            "docs/runbook.md lacks what Sources/\(file):\(text.line) says: \(text.pattern)")
    }

    @Test func everyWarningAndErrorIsThere() throws {
        var count = 0
        var wordless: [String: Int] = [:]
        for (name, text) in try Self.sources() {
            for spoken in text.spoken(in: Self.logs) {
                if spoken.pattern.allSatisfy({ !$0.isLetter }) {
                    wordless[name, default: 0] += 1
                } else {
                    check(spoken, in: name)
                    count += 1
                }
            }
        }
        #expect(count > 20, "the sources were not found at \(Self.root)")
        #expect(wordless == Self.carriers, "who passes words on that come from elsewhere, say from where")
    }

    @Test(arguments: Self.speakers.keys.sorted())
    func whatIsPassedOnIsThere(folder: String) throws {
        var count = 0
        for (name, text) in try Self.sources(below: folder) {
            for call in Self.speakers[folder] ?? [] {
                let isNotice = Set(text.arguments(of: call).filter { $0.code.contains(".notice") }.map(\.line))
                for spoken in text.spoken(in: [call]) where !spoken.telling.isEmpty && !isNotice.contains(spoken.line) {
                    // What a session remembers of its end is logged by whoever asks for it, as a cause.
                    guard !name.hasSuffix("PeerSession.swift") else { continue }
                    check(spoken, in: name)
                    count += 1
                }
            }
        }
        #expect(count > 0, "nobody speaks in \(folder) any more")
    }

    @Test func whatTheGateSaysIsThere() throws {
        for (file, least) in [("ExportGate+Causes", 8), ("ExportGate+Events", 2)] {
            let name = "ExportCore/Cluster/\(file).swift"
            let texts = try Self.file(name).texts.filter { !$0.telling.isEmpty }
            #expect(texts.count >= least)
            for text in texts { check(text, in: name) }
        }
    }

    @Test func everyCodeOfATargetIsThere() throws {
        var codes: Set<String> = []
        for (name, text) in try Self.sources() {
            for spoken in text.texts {
                let first = spoken.pieces.first ?? ""
                guard spoken.label == "code" || name.hasPrefix("Backends/") && Self.looksLikeACode(first) else {
                    continue
                }
                codes.formUnion(Self.code(spoken.pieces))
            }
        }
        for phase in try Self.file("HTTPClient/HTTPFailure.swift").cases(of: "enum TimeoutPhase") {
            codes.insert("timeout-\(phase)")
        }
        #expect(codes.count > 30)
        #expect(codes.isSuperset(of: ["s3-no-versioning", "timeout-silence", "hec-…", "file-grew", "invalid-record"]))
        for code in codes.sorted() {
            // A number of a receiver's may stand for all of them.
            let family = String(code.reversed().drop(while: \.isNumber).reversed()) + "…"
            #expect(
                Self.runbook.contains("`\(code)`")
                    || code.last?.isNumber == true && Self.runbook.contains("`\(family)`"),
                "docs/runbook.md lacks the code \(code)")
        }
    }

    @Test func everyCodeOfAConnectionIsThere() throws {
        let kinds = try Self.file("PeerTransport/PeerError.swift").cases(of: "enum Kind")
        let faults = try Self.file("Protocol/Message.swift").cases(of: "enum Code")
        #expect(kinds.contains("wrongRole") && faults.contains("staleTerm"))
        for code in kinds + faults {
            #expect(Self.runbook.contains("`\(code)`"), "docs/runbook.md lacks the code \(code)")
        }
    }

    /// A code as the runbook writes it; what is interpolated at its end is `…`.
    private static func code(_ pieces: [String]) -> [String] {
        guard let first = pieces.first, !first.isEmpty, !first.contains(" ") else { return [] }
        return [pieces.count > 1 ? first + "…" : first]
    }

    /// Words of letters and digits with hyphens between, as codes are spelt, and headers, whose names begin otherwise.
    private static func looksLikeACode(_ text: String) -> Bool {
        let prefixes = [
            "aws-", "connection-", "failure-", "file-", "hec-", "http-", "item-", "no-", "pipeline-", "proxy-",
            "response-",
            "s3-", "setup-", "timeout-", "tls-", "unconfirmed", "unexpected-",
        ]
        return prefixes.contains { text.hasPrefix($0) } && text.utf8.allSatisfy { SwiftText.isWord($0) || $0 == 0x2D }
    }
}
