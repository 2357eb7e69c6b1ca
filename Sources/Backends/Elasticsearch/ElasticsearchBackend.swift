public import ExportCore
public import HTTPClient
public import Model
public import Secrets

/// Elasticsearch or OpenSearch, by `_bulk`.
///
/// Effectively once: a record that is sent again meets its own `_id` and is not stored twice.
public struct ElasticsearchBackend: Backend {
    private let builder: ElasticsearchRequestBuilder
    private let sender: HTTPSender
    private let setup: ElasticsearchSetup?
    private let gate = StartGate()

    /// The receiver of `target`.
    public init(
        target: Target, builder: ElasticsearchRequestBuilder, client: HTTPClient, secrets: SecretDirectory
    ) {
        self.builder = builder
        let access = ElasticsearchAccess(secrets: secrets, secretRef: target.secretRef)
        sender = HTTPSender(
            target: target, client: client, secrets: secrets,
            needs: "the file apiKey, or the files username and password",
            access: { () throws(SecretError) in try access.headers() })
        setup =
            target.setup
            ? ElasticsearchSetup(
                template: ElasticsearchTemplate(target), base: target.endpoint.base, sender: sender) : nil
    }

    /// Sends the documents in one request; before the first of all, sees to the index template if that is wanted.
    public func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        if let setup, let refused = await gate.enter({ await setup.run() }) { return DeliveryAnswer(refused) }
        let (count, place) = (parcel.count, sender.place)
        return await sender.deliver(parcel, to: builder.bulkURL, contentType: "application/x-ndjson") {
            ElasticsearchVerdict.of($0, count: count, at: place)
        }
    }

    /// Asks for the cluster's name card, which needs credentials where security is on.
    public func probe() async -> Reason? {
        switch await sender.send(.get, builder.rootURL) {
        case .success(let response) where response.status == 200: return nil
        case .success(let response):
            return Refusal(
                verdict: HTTPVerdict.of(status: response.status, retryAfter: nil, said: "", at: sender.place)
            ).reason
        case .failure(let refusal): return refusal.reason
        }
    }

    /// Holds nothing of its own.
    public func close() async {}
}
