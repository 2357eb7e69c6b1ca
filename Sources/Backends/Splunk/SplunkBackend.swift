public import ExportCore
public import HTTPClient
public import Model
public import Secrets

/// Splunk HTTP Event Collector.
///
/// HEC cannot recognise an event it already has: what was in flight when the process died may arrive twice. The
/// record's identity is in every event so that a search can remove the second. With `acknowledge`, events count as
/// delivered only when the indexer says that it has them, and what was in flight is asked for after a restart instead of
/// being sent again.
public struct SplunkBackend: Backend {
    private let builder: SplunkRequestBuilder
    private let sender: HTTPSender
    private let acknowledgement: SplunkAcknowledgement?

    /// The receiver of `target`.
    public init(target: Target, builder: SplunkRequestBuilder, client: HTTPClient, secrets: SecretDirectory) {
        self.builder = builder
        let access = SplunkAccess(secrets: secrets, secretRef: target.secretRef)
        let own = target.acknowledge ? client.ofOneConnection() : nil
        let sender = HTTPSender(
            target: target, client: own ?? client, secrets: secrets, needs: "the file token",
            access: { () throws(SecretError) in try access.headers() })
        self.sender = sender
        let settings = AckTracker.Settings(waitMilliseconds: target.acknowledgeTimeoutMilliseconds)
        acknowledgement = own.map {
            SplunkAcknowledgement(builder: builder, sender: sender, client: $0, settings: settings)
        }
    }

    /// Sends the events in one request.
    public func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        if let acknowledgement { return await acknowledgement.deliver(parcel) }
        let (count, place) = (parcel.count, sender.place)
        return await sender.deliver(parcel, to: builder.eventURL, contentType: "application/json") {
            SplunkVerdict.of($0, count: count, at: place)
        }
    }

    /// Asks the health endpoint, which does not look at the token, then sends a request without events, which does:
    /// an accepted token answers "No data" (code 5). Then whether the token acknowledges, if it must.
    public func probe() async -> Reason? {
        switch await sender.send(.get, builder.healthURL) {
        case .success(let response):
            if let reason = SplunkVerdict.health(response, at: sender.place) { return reason }
        case .failure(let refusal): return refusal.reason
        }
        switch await sender.send(.post, builder.eventURL, acknowledgement?.probeHeaders ?? [], SealedBytes([])) {
        case .success(let response):
            let verdict = SplunkVerdict.of(response, count: 0, at: sender.place)
            guard case .poison = verdict else { return Refusal(verdict: verdict).reason }
        case .failure(let refusal): return refusal.reason
        }
        return await acknowledgement?.probe()
    }

    /// Ends the waiting for acknowledgements.
    public func close() async { await acknowledgement?.close() }
}
