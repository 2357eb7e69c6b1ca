import ExportCore
import HTTPClient
import Model

/// Installs the index template of a target with `setup: true`, before its first delivery: looks what kind of cluster it is
/// and what is there already, and replaces nothing but an older template of ours.
struct ElasticsearchSetup: Sendable {
    let template: ElasticsearchTemplate
    let base: String
    let sender: HTTPSender

    /// Why nothing may be delivered yet; nil once the template is there.
    func run() async -> Verdict? {
        let product: ElasticsearchTemplate.Product
        switch await sender.send(.get, base + "/") {
        case .failure(let refusal): return refusal.verdict
        case .success(let response) where response.status == 200:
            product = ElasticsearchTemplate.product(response.body)
        case .success(let response): return verdict(response, "asking for its version (privilege `monitor`)")
        }
        switch await sender.send(.get, base + template.path) {
        case .failure(let refusal): return refusal.verdict
        case .success(let response) where response.status == 200:
            if !ElasticsearchTemplate.isOutdated(response.body) { return nil }
        case .success(let response) where response.status == 404: break
        case .success(let response): return verdict(response, "looking for the index template")
        }
        let body = SealedBytes(Array(template.body(for: product).utf8))
        let type = HTTPHeader("Content-Type", "application/json")
        switch await sender.send(.put, base + template.path, [type], body) {
        case .failure(let refusal): return refusal.verdict
        case .success(let response) where response.status == 200: return nil
        case .success(let response): return verdict(response, "installing the index template")
        }
    }

    /// What `response`, which is not the one hoped for, means. Nothing of a record was sent, so nothing is poison.
    private func verdict(_ response: HTTPResponse, _ what: String) -> Verdict {
        let verdict = HTTPVerdict.of(
            status: response.status, retryAfter: HTTPVerdict.retryAfter(response),
            said: ElasticsearchVerdict.said(response), at: sender.place)
        let advice =
            "; give the credentials the privilege `manage_index_templates`, or install it by hand (`validate"
            + " --print-templates`) and remove `setup`"
        let message = Refusal(verdict: verdict).reason?.message ?? "\(sender.place) answered \(response.status)"
        let told = Reason(code: "setup-\(response.status)", message: "\(what): \(message)\(advice)")
        if case .retry(_, let retryAfter) = verdict { return .retry(told, retryAfterMilliseconds: retryAfter) }
        return .configuration(told)
    }
}
