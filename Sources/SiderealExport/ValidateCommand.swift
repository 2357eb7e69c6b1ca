import ArgumentParser
import Configuration
import FoundationEssentials
import Glibc
import Model
import Secrets

/// `validate`: every mistake of a configuration file at once.
struct ValidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Check a configuration file and the secrets it names.",
        discussion: """
            Every mistake is reported at once, as file:line:column: key: what is wrong, with a hint how to mend it.
            Nothing is sent anywhere. Secrets are read as files, <secrets>/<secretRef>/<key>, and never shown.

            Exit codes: 0 the file is valid, 2 it is not.

            Examples:
              sidereal-export validate --config values.yaml
              sidereal-export validate --config values.yaml --secrets ./secrets
              sidereal-export validate --config values.yaml --json | jq '.problems[].message'
            """)

    @Option(help: ArgumentHelp("The Helm values, or a file with the same sections.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("Directory with a folder for each secret.", valueName: "dir"))
    var secrets = "/etc/sidereal/secrets"

    @Flag(help: "Print one JSON object on standard output.")
    var json = false

    // A few small files are read on the calling thread; nothing else runs in this process that could wait for it.
    func run() async throws {
        let report = check()
        try json ? printJSON(report) : printText(report)
        if !report.problems.isEmpty { throw ExitCode(2) }
    }

    /// The configuration if it could be read, and everything that is wrong.
    private func check() -> ValidationReport {
        do throws(ConfigurationError) {
            let configuration = try Configuration.load(path: config)
            let directory = SecretDirectory(root: secrets)
            let problems = configuration.secretProblems(root: secrets, state: directory.state)
            return ValidationReport(targets: configuration.targets, problems: problems)
        } catch {
            return ValidationReport(targets: [], problems: error.problems)
        }
    }

    private func printText(_ report: ValidationReport) {
        guard report.problems.isEmpty else {
            let count = report.problems.count
            let lines = report.problems.map { "\($0)\n" }.joined()
            write(lines + "\(count) \(count == 1 ? "mistake" : "mistakes") in \(config)\n", to: STDERR_FILENO)
            return
        }
        write(report.table() + "\(config) is valid\n", to: STDOUT_FILENO)
    }

    private func printJSON(_ report: ValidationReport) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(report.answer), as: UTF8.self)
        write(text + "\n", to: STDOUT_FILENO)
    }

    private func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            // Whoever read our output has seen enough; the exit code says the rest.
            guard count > 0 || errno == EINTR else { return }
            rest = rest.dropFirst(max(count, 0))
        }
    }
}

/// What `validate` found.
private struct ValidationReport {
    let targets: [Target]
    let problems: [ConfigurationProblem]

    /// One line for each target, in aligned columns. Only for a report without problems, whose secrets were all found.
    func table() -> String {
        var rows = [["TARGET", "BACKEND", "FORMAT", "ENDPOINT", "SECRET FOUND"]]
        for target in targets {
            let secret = target.secretRef.map { "yes (\($0))" } ?? "none needed"
            rows.append([
                target.name, target.backend.rawValue, target.format.rawValue, target.endpoint.base, secret,
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return cells.joined(separator: "  ").droppingTrailingSpaces + "\n"
        }.joined()
    }

    var answer: Answer {
        Answer(
            valid: problems.isEmpty,
            problems: problems.map {
                Answer.Problem(
                    file: $0.file, line: $0.line, column: $0.column, key: $0.keyPath, message: $0.message,
                    hint: $0.hint)
            })
    }

    struct Answer: Encodable {
        struct Problem: Encodable {
            var file: String
            var line: Int?
            var column: Int?
            var key: String
            var message: String
            var hint: String?
        }
        var valid: Bool
        var problems: [Problem]
    }
}

extension SecretDirectory {
    /// What is on disk for a key, in the words of ``Configuration/secretProblems(root:state:)``.
    func state(_ ref: String, key: String) -> SecretState {
        // Certificates are handed on by path; only credentials are read.
        guard !key.contains(".") else { return path(ref, key: key) == nil ? .absent : .present }
        do throws(SecretError) {
            return try read(ref, key: key) == nil ? .absent : .present
        } catch {
            return .unusable(error.message)
        }
    }
}

extension String {
    fileprivate var droppingTrailingSpaces: String {
        var rest = self[...]
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}
