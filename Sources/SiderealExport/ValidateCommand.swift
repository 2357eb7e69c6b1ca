import ArgumentParser
import Backends
import Configuration
import Crypto
import ExportCore
import Formats
import Glibc
import HTTPClient
import Model
import Secrets

/// `validate`: every mistake of a configuration file at once.
struct ValidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Check a configuration file and the secrets it names.",
        discussion: """
            Every mistake is reported at once, as file:line:column: key: what is wrong, with a hint how to mend it.
            Nothing is sent anywhere unless --connect asks for it. Secrets are read as files, <secrets>/<secretRef>/<key>, and never shown.

            Exit codes: 0 the file is valid (and every target can be used), 2 it is not. With --json, `problems` are those of the
            file, `connections` what trying each target brought; `valid` is true only if both are in order.

            Examples:
              sidereal-export validate --config values.yaml
              sidereal-export validate --config values.yaml --secrets ./secrets
              sidereal-export validate --config values.yaml --connect
              sidereal-export validate --config values.yaml --print-templates elasticsearch
              sidereal-export validate --config values.yaml --json | jq '.problems[].message'
            """)

    @Option(help: ArgumentHelp("The Helm values, or a file with the same sections.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("Directory with a folder for each secret.", valueName: "dir"))
    var secrets = "/etc/sidereal/secrets"

    @Flag(help: "Also try each target: reachable, certificate, credentials. No record is sent.")
    var connect = false

    @Option(
        name: .customLong("print-templates"),
        help: ArgumentHelp(
            "Print the index templates of the elasticsearch targets, as requests for Kibana's or OpenSearch's console.",
            valueName: "elasticsearch|opensearch"))
    var templates: TemplateReader?

    @Flag(help: "Print one JSON object on standard output.")
    var json = false

    // A few small files are read on the calling thread; nothing else runs in this process that could wait for it.
    func run() async throws {
        // A receiver that closes its end is an error where we write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        var report = ValidationReport()
        do throws(ConfigurationError) {
            let configuration = try Configuration.load(path: config)
            let directory = SecretDirectory(root: secrets)
            report.targets = configuration.targets
            report.problems = configuration.secretProblems(
                root: secrets, exists: directory.isThere, state: directory.state)
            if report.problems.isEmpty, configuration.fips {
                // A file is often checked on another machine than the one it is for: then this is no mistake of it.
                if connect { report.fips = Self.fipsRefusal() } else { report.note = Self.fipsRefusal() }
            }
            if connect, report.problems.isEmpty, report.fips == nil {
                report.connections = await TargetProbe.run(configuration, secrets: directory)
            }
        } catch {
            report.problems = error.problems
        }
        if let templates, report.isValid {
            let targets = report.targets.filter { $0.backend == .elasticsearch }
            guard !targets.isEmpty else {
                Console().line(
                    "\(config): --print-templates: no target has the backend elasticsearch, so there is no template")
                throw Exit.badSetup
            }
            for target in targets {
                let template = ElasticsearchTemplate(target)
                print("PUT \(template.path)\n\(template.body(for: templates.product))\n")
            }
            return
        }
        if json { print(report.json) } else { printText(report) }
        if let note = report.note { Console().line("note: on this machine `run` would refuse to start: \(note)") }
        if !report.isValid { throw Exit.badSetup }
    }

    /// Why `run` would refuse to start on this machine.
    private static func fipsRefusal() -> String? {
        do throws(CryptoError) {
            try FIPS.require()
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func printText(_ report: ValidationReport) {
        let console = Console()
        if let refusal = report.fips { return console.line("\(config): global.fips: \(refusal)") }
        for line in report.problems.flatMap(\.lines) { console.line(line) }
        if !report.problems.isEmpty {
            let count = report.problems.count
            return console.line("\(count) \(count == 1 ? "mistake" : "mistakes") in \(config)")
        }
        for line in report.table.lines { print(line) }
        let failures = report.failures
        for (name, reason) in failures { console.line("\(name): \(reason)") }
        guard failures.isEmpty else {
            return console.line("\(config) is valid, but not every target can be used")
        }
        print("\(config) is valid\(connect ? ", and every target can be used" : "")")
    }
}

/// Who reads a printed template.
enum TemplateReader: String, ExpressibleByArgument, CaseIterable {
    case elasticsearch, opensearch

    var product: ElasticsearchTemplate.Product { self == .opensearch ? .opensearch : .elasticsearch }
}

/// What `validate` found.
private struct ValidationReport {
    var targets: [Target] = []
    var problems: [ConfigurationProblem] = []
    /// What trying each target brought, in their order; nil if none was tried.
    var connections: [Reason?]?

    /// Why FIPS mode is not to be had here.
    var fips: String?
    /// The same, if nothing was to be tried here.
    var note: String?

    var isValid: Bool { problems.isEmpty && failures.isEmpty && fips == nil }

    /// The targets that cannot be used, and why.
    var failures: [(name: String, reason: Reason)] {
        zip(targets, connections ?? []).compactMap { target, reason in reason.map { (target.name, $0) } }
    }

    /// One line for each target. Only for a report without problems, whose secrets were all found.
    var table: Table {
        let tried = connections == nil ? [] : ["connection"]
        var table = Table(["target", "backend", "format", "endpoint", "secret found"] + tried)
        for (index, target) in targets.enumerated() {
            let secret = target.secretRef.map { "yes (\($0))" } ?? "none needed"
            var row = [target.name, target.backend.rawValue, target.format.rawValue, target.endpoint.base, secret]
            if let connections { row.append(connections[index].map { "failed: \($0.code)" } ?? "ok") }
            table.add(row)
        }
        return table
    }

    var json: String {
        var object = JSONObject()
        object.add("valid", raw: isValid ? "true" : "false")
        var found = problems.map(Self.json)
        if let fips {
            var problem = JSONObject()
            problem.add("key", "global.fips")
            problem.add("message", fips)
            found.append(problem.text)
        }
        object.add("problems", raw: "[\(found.joined(separator: ","))]")
        if let connections {
            let tried = zip(targets, connections).map { target, reason in
                var object = JSONObject()
                object.add("target", target.name)
                object.add("ok", raw: reason == nil ? "true" : "false")
                if let reason {
                    object.add("code", reason.code)
                    object.add("message", reason.message)
                }
                return object.text
            }
            object.add("connections", raw: "[\(tried.joined(separator: ","))]")
        }
        return object.text
    }

    private static func json(_ problem: ConfigurationProblem) -> String {
        var object = JSONObject()
        object.add("file", problem.file)
        if let line = problem.line { object.add("line", line) }
        if let column = problem.column { object.add("column", column) }
        object.add("key", problem.keyPath)
        object.add("message", problem.message)
        if let hint = problem.hint { object.add("hint", hint) }
        return object.text
    }
}

/// Tries every target at once, without sending a record.
private enum TargetProbe {
    static func run(_ configuration: Configuration, secrets: SecretDirectory) async -> [Reason?] {
        let client = HTTPClient(for: configuration.targets, approvedOnly: configuration.fips)
        let stamp = ExportStamp(version: ExporterVersion.current, cluster: configuration.clusterName)
        let console = Console()
        let factory = BackendFactory(client: client, secrets: secrets, stamp: stamp) { target, reason in
            console.line("\(target): warning: \(reason)")
        }
        let results = await withTaskGroup(of: (Int, Reason?).self) { group in
            for (index, target) in configuration.targets.enumerated() {
                group.addTask {
                    let backend = factory.make(target, committed: nil, announce: { _ in nil }).backend
                    let reason = await backend.probe()
                    await backend.close()
                    return (index, reason)
                }
            }
            return await group.reduce(into: [Int: Reason?]()) { $0[$1.0] = .some($1.1) }
        }
        await client.shutdown()
        return configuration.targets.indices.map { results[$0] ?? nil }
    }
}

extension SecretDirectory {
    /// What is on disk for a key, in the words of ``Configuration/secretProblems(root:exists:state:)``.
    func state(_ ref: String, key: String) -> SecretState {
        do throws(SecretError) {
            // Certificates are handed on by path; only credentials are read.
            guard !key.contains(".") else { return try path(ref, key: key) == nil ? .absent : .present }
            return try read(ref, key: key) == nil ? .absent : .present
        } catch {
            return .unusable(error.message)
        }
    }

    /// Whether there is anything of a secret, or at least something in its place that can be complained about.
    func isThere(_ ref: String) -> Bool {
        do throws(SecretError) {
            return try exists(ref)
        } catch {
            return true
        }
    }
}
