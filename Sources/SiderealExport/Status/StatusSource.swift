import ArgumentParser
import ExportCore
import FoundationEssentials
import HTTPClient
import StatusEndpoint

/// A coordinator's answer.
struct StatusAnswer: Sendable {
    var status: ClusterStatus
    /// As it came, without the line end.
    var json: String
    /// What to know about where it came from; nil if it came from where it was asked for.
    var note: String?
}

/// Why there is no status.
struct StatusFailure: Error {
    /// What was tried, why it failed and what to do.
    var message: String
    var exitCode: ExitCode
}

/// Asks a coordinator, and the leader if that is another.
struct StatusSource: Sendable {
    private let base: String
    private let tls: TLSSettings
    private let client: HTTPClient

    init(coordinator: String, ca: String?, client: HTTPClient) throws(StatusFailure) {
        guard coordinator.hasPrefix("http://") || coordinator.hasPrefix("https://") else {
            throw StatusFailure(
                message:
                    "--coordinator: '\(coordinator)' is no http or https URL; write it like http://127.0.0.1:8080.",
                exitCode: Exit.badSetup)
        }
        base = Self.trimmed(coordinator)
        tls = TLSSettings(caFile: ca)
        self.client = client
    }

    func fetch() async throws(StatusFailure) -> StatusAnswer {
        var answer = try await ask(base)
        let asked = answer.status
        guard asked.coordinator.role == .standby || asked.coordinator.role == .starting else { return answer }
        guard let leader = asked.leader, !leader.endpoint.isEmpty, Self.trimmed(leader.endpoint) != base else {
            answer.note = "\(asked.coordinator.name) does not lead, and knows no leader's endpoint to ask."
            return answer
        }
        do throws(StatusFailure) {
            var found = try await ask(Self.trimmed(leader.endpoint))
            found.note = "Asked \(asked.coordinator.name), which does not lead; this is what \(leader.name) says."
            return found
        } catch {
            answer.note = "\(asked.coordinator.name) does not lead, and its leader did not answer: \(error.message)"
            return answer
        }
    }

    private func ask(_ base: String) async throws(StatusFailure) -> StatusAnswer {
        let url = "\(base)/v1/status"
        let response: HTTPResponse
        do throws(HTTPFailure) {
            let timeouts = HTTPTimeouts(connect: 3_000, firstByte: 5_000, total: 10_000)
            response = try await client.send(HTTPRequest(method: .get, url: url, timeouts: timeouts, tls: tls))
        } catch {
            let isMalformed = error.kind == .other(code: 43)
            throw StatusFailure(
                message: "\(error.message)" + (isMalformed ? "" : ". Is a coordinator's endpoint there?"),
                exitCode: isMalformed ? Exit.badSetup : Exit.noAnswer)
        }
        guard response.status == 200 else {
            let problem = try? JSONDecoder().decode(Problem.self, from: Data(response.body))
            throw StatusFailure(
                message: "\(url) answers \(response.status): \(problem?.message ?? "no endpoint of a coordinator.")",
                exitCode: Exit.noAnswer)
        }
        guard let status = StatusReading.status(from: Array(response.body)) else {
            throw StatusFailure(
                message:
                    "\(url) answers something else than a status that this version reads: no coordinator's endpoint, "
                    + "or one of a newer version.", exitCode: Exit.noAnswer)
        }
        let text = String(decoding: response.body, as: UTF8.self)
        return StatusAnswer(status: status, json: Self.trimmed(text, "\n"), note: nil)
    }

    private struct Problem: Decodable {
        var message: String
    }

    private static func trimmed(_ text: String, _ end: Character = "/") -> String {
        var text = text[...]
        while text.last == end { text.removeLast() }
        return String(text)
    }
}
