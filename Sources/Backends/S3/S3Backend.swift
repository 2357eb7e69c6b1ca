public import ExportCore
public import HTTPClient
public import Model
public import Secrets
import Threading

/// Amazon S3 and what speaks its API.
///
/// 1. An object is encrypted by KMS and locked in COMPLIANCE mode, or it is not stored.
/// 2. Nothing is sent to a bucket that was not found to keep that promise.
/// 3. Once: the key is made of the content, and an upload never replaces anything. A key that is taken counts as
///    delivered only after what has it was found to be these very records, encrypted and locked.
///
/// A clock that is off is corrected by the server's `Date`, credentials that have ended are renewed, each once per
/// request and at once; all else waits for the next attempt.
public struct S3Backend: Backend {
    private let target: Target
    private let builder: S3RequestBuilder
    private let packer: S3Packer
    private let access: S3Access
    private let client: HTTPClient
    private let secrets: SecretDirectory
    private let warn: @Sendable (Reason) -> Void
    private let gate = StartGate()
    /// How messages name the target.
    private let place: String

    /// The receiver of `target`; `warn` is told of what does not stop a delivery.
    public init(
        target: Target, builder: S3RequestBuilder, client: HTTPClient, secrets: SecretDirectory,
        environment: AWSEnvironment, warn: @escaping @Sendable (Reason) -> Void
    ) {
        var random = SystemRandomNumberGenerator()
        let clocks = S3Access.Clocks(wall: { SystemClock.unixMilliseconds() }, now: { SystemClock.now() })
        self.init(
            target: target, builder: builder, client: client, secrets: secrets, environment: environment,
            clocks: clocks, seed: random.next(), warn: warn)
    }

    init(
        target: Target, builder: S3RequestBuilder, client: HTTPClient, secrets: SecretDirectory,
        environment: AWSEnvironment, clocks: S3Access.Clocks, seed: UInt64,
        warn: @escaping @Sendable (Reason) -> Void
    ) {
        self.target = target
        self.builder = builder
        self.client = client
        self.secrets = secrets
        self.warn = warn
        place = "\(target.name) (\(target.endpoint.base), bucket \(target.s3.bucket))"
        packer = S3Packer(keys: builder.keys, compression: target.compression)
        access = S3Access(
            target: target, secrets: secrets, environment: environment, client: client, clocks: clocks, seed: seed,
            place: place, warn: warn)
    }

    /// Stores the records as one object.
    public func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        if let refused = await gate.enter({ await check() }) { return DeliveryAnswer(refused) }
        let object: S3Object
        do throws(Refusal) {
            object = try await packer.pack(parcel)
        } catch {
            return DeliveryAnswer(error.verdict)
        }
        let verdict = await store(object)
        // What was true of the bucket may be true no more; the next attempt looks again, and says so plainly.
        if case .configuration = verdict { await gate.shut() }
        return DeliveryAnswer(verdict)
    }

    /// Asks everything of the bucket that a delivery would, and stores nothing.
    public func probe() async -> Reason? { await check().flatMap { Refusal(verdict: $0).reason } }

    /// Holds nothing of its own.
    public func close() async {}

    private func store(_ object: S3Object) async -> Verdict {
        switch await send(object.body, { builder.put(object, now: $0) }) {
        case .failure(let refusal): return refusal.verdict
        case .success(let response):
            let answer = S3Verdict.ofPut(response, checksum: object.checksum, at: place)
            return answer == .occupied ? await recognize(object) : answer.verdict
        }
    }

    /// What has the key: this object, from an attempt whose answer was lost, or a stranger's.
    private func recognize(_ object: S3Object) async -> Verdict {
        let answer: HTTPResponse
        switch await send(nil, { _ in builder.head(object.key) }) {
        case .failure(let refusal): return refusal.verdict
        case .success(let response): answer = response
        }
        let uri = builder.uri(key: object.key)
        // Compression adds little where it gains nothing.
        let bound = object.plain.count + (64 << 10)
        let expected = S3Verdict.Expected(
            checksum: object.checksum, count: object.body.count, maxBytes: bound,
            lockedUntil: builder.leastLock(access.time), kmsKeyID: target.s3.kmsKeyID)
        switch S3Verdict.occupant(answer, expected, at: place) {
        case .ours: return .delivered(slowDown: false)
        case .foreign(let why): return S3Verdict.foreign(why, uri, place)
        case .unclear(let verdict): return verdict
        case .perhapsOurs: break
        }
        switch await send(nil, maxResponseBytes: bound, { _ in builder.get(object.key) }) {
        case .failure(let refusal): return refusal.verdict
        case .success(let response) where response.status == 200:
            if packer.holds(response.body, sameAs: object) { return .delivered(slowDown: false) }
            return S3Verdict.foreign("its content differs", uri, place)
        case .success(let response): return S3Verdict.of(response, at: place).verdict
        }
    }

    /// Why nothing may be sent to the bucket; nil if all is well.
    private func check() async -> Verdict? {
        for check in S3BucketCheck.allCases {
            let answer = await send(check == .rehearsal ? SealedBytes([]) : nil) { request(of: check, now: $0) }
            let response: HTTPResponse
            switch answer {
            case .failure(let refusal): return refusal.verdict
            case .success(let received): response = received
            }
            switch check.finding(response, bucket: target.s3.bucket, at: place) {
            case .passed: continue
            case .refused(let verdict): return verdict
            case .begun(let upload): await takeBack(upload)
            }
        }
        return nil
    }

    private func request(of check: S3BucketCheck, now: Int64) -> UnsignedRequest {
        switch check {
        case .objectLock: builder.setting("object-lock")
        case .versioning: builder.setting("versioning")
        case .rehearsal: builder.beginRehearsal(now: now)
        }
    }

    private func takeBack(_ upload: String) async {
        let answer = await send(nil) { _ in builder.endRehearsal(upload) }
        if case .success(let response) = answer, response.status == 204 || response.status == 404 { return }
        warn(
            Reason(
                code: "s3-rehearsal",
                message: "\(place): an upload that was begun to check the bucket could not be taken back; allow"
                    + " s3:AbortMultipartUpload. It holds no data, and a lifecycle rule can remove it"))
    }

    /// Signs and sends. What can be mended at once is mended, once each.
    private func send(
        _ body: SealedBytes?, maxResponseBytes: Int = 1 << 20, _ build: (_ now: Int64) -> UnsignedRequest
    ) async -> Result<HTTPResponse, Refusal> {
        var isCorrected = false
        var renewed: AWSCredentials?
        do throws(Refusal) {
            while true {
                let credentials: AWSCredentials
                if let renewed { credentials = renewed } else { credentials = try await access.credentials() }
                let response = try await transmit(build(access.time), body, credentials, maxResponseBytes)
                guard response.status >= 400 else { return .success(response) }
                switch S3Verdict.of(response, at: place) {
                case .skewed(let server, _) where !isCorrected:
                    isCorrected = true
                    access.correct(to: server)
                case .unauthorized(let haveEnded, _) where renewed == nil:
                    switch await access.renew(after: credentials, haveEnded: haveEnded) {
                    case .renewed(let others): renewed = others
                    case .same: return .success(response)
                    case .failed(let refusal): return .failure(refusal)
                    }
                default: return .success(response)
                }
            }
        } catch {
            return .failure(error)
        }
    }

    private func transmit(
        _ request: UnsignedRequest, _ body: SealedBytes?, _ credentials: AWSCredentials, _ maxResponseBytes: Int
    ) async throws(Refusal) -> HTTPResponse {
        let message = HTTPRequest(
            method: request.method, url: builder.address.url(request),
            headers: try access.sign(request, with: credentials), body: body,
            maxResponseBytes: maxResponseBytes)
        return try await client.send(message, to: target, secrets: secrets, place: place)
    }
}
