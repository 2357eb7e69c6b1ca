public import ExportCore
public import HTTPClient
public import Model
public import Secrets

/// Splunk HTTP Event Collector.
///
/// HEC cannot recognise an event it already has: what was in flight when the process died may arrive twice. The
/// record's identity is in every event so that a search can remove the second.
public struct SplunkBackend: Backend {
    private let builder: SplunkRequestBuilder
    private let sender: HTTPSender

    /// The receiver of `target`.
    public init(target: Target, builder: SplunkRequestBuilder, client: HTTPClient, secrets: SecretDirectory) {
        self.builder = builder
        let access = SplunkAccess(secrets: secrets, secretRef: target.secretRef)
        sender = HTTPSender(
            target: target, client: client, secrets: secrets, needs: "the file token",
            access: { () throws(SecretError) in try access.headers() })
    }

    /// Sends the events in one request.
    public func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        let (count, place) = (parcel.count, sender.place)
        return await sender.deliver(parcel, to: builder.eventURL, contentType: "application/json") {
            SplunkVerdict.of($0, count: count, at: place)
        }
    }

    /// Asks the health endpoint, which does not look at the token, then sends a request without events, which does:
    /// an accepted token answers "No data" (code 5).
    public func probe() async -> Reason? {
        switch await sender.send(.get, builder.healthURL) {
        case .success(let response) where response.status != 200:
            return Reason(
                code: "http-\(response.status)", message: "\(sender.place): the collector says it is not healthy")
        case .success: break
        case .failure(let refusal): return refusal.reason
        }
        switch await sender.send(.post, builder.eventURL, [], SealedBytes([])) {
        case .success(let response):
            let verdict = SplunkVerdict.of(response, count: 0, at: sender.place)
            if case .poison = verdict { return nil }
            return Refusal(verdict: verdict).reason
        case .failure(let refusal): return refusal.reason
        }
    }

    /// Holds nothing of its own.
    public func close() async {}
}
