import Crypto
import ExportCore
import HTTPClient
import Model
import Secrets
import Synchronization

/// Signs requests: finds the credentials, keeps the clock.
final class S3Access: Sendable {
    /// The clocks of this machine, or of a test.
    struct Clocks: Sendable {
        /// Milliseconds since 1970.
        var wall: @Sendable () -> Int64
        var now: @Sendable () -> Tick
    }

    private enum Holder {
        case secret(String)
        case leased(S3Credentials)
        case none(String)
    }

    private let region: String
    private let secrets: SecretDirectory
    private let holder: Holder
    private let clocks: Clocks
    private let place: String
    /// Seconds that the server's clock is ahead of ours.
    private let offset = Mutex<Int64>(0)

    init(
        target: Target, secrets: SecretDirectory, environment: AWSEnvironment, client: HTTPClient, clocks: Clocks,
        seed: UInt64, place: String, warn: @escaping @Sendable (Reason) -> Void
    ) {
        region = target.s3.region
        self.secrets = secrets
        self.clocks = clocks
        self.place = place
        do throws(CredentialSource.Missing) {
            let source = try CredentialSource.choose(target, environment)
            if case .secret(let ref) = source {
                holder = .secret(ref)
            } else {
                let fetcher = CredentialFetcher(
                    source: source, client: client, target: target, secrets: secrets, place: place, wall: clocks.wall)
                let credentials = S3Credentials(seed: seed, now: clocks.now, warn: warn) { () async throws(Refusal) in
                    try await fetcher.fetch()
                }
                holder = .leased(credentials)
            }
        } catch {
            holder = .none(error.message)
        }
    }

    /// Seconds since 1970, by the server's clock where it was learnt.
    var time: Int64 { clocks.wall() / 1_000 + offset.withLock { $0 } }

    /// Takes over the server's clock, seconds since 1970.
    func correct(to server: Int64) { offset.withLock { $0 = server - clocks.wall() / 1_000 } }

    /// What to sign with.
    func credentials() async throws(Refusal) -> AWSCredentials {
        switch holder {
        case .none(let message): throw refusal(message)
        case .leased(let credentials): return try await credentials.current()
        case .secret(let ref): return try read(ref)
        }
    }

    /// What a refusal of credentials led to.
    enum Renewal: Sendable {
        /// There are others.
        case renewed(AWSCredentials)
        /// There are only those.
        case same
        /// There are none any more.
        case failed(Refusal)
    }

    /// After a refusal of `used`. A secret is read again; what was fetched is fetched again only if it has ended, as
    /// the same role would get the same permissions.
    func renew(after used: AWSCredentials, haveEnded: Bool) async -> Renewal {
        switch holder {
        case .none: return .same
        case .leased(let leased):
            guard haveEnded else { return .same }
            await leased.reject(used)
        case .secret(let ref): secrets.invalidate(ref)
        }
        do throws(Refusal) {
            let found = try await credentials()
            return found == used ? .same : .renewed(found)
        } catch {
            return .failed(error)
        }
    }

    /// The request's header fields, its authorization included.
    func sign(_ request: UnsignedRequest, with credentials: AWSCredentials) throws(Refusal) -> [HTTPHeader] {
        do throws(CryptoError) {
            return try SigV4(credentials: credentials, region: region, time: time).sign(request)
        } catch {
            throw refusal("\(error)")
        }
    }

    private func read(_ ref: String) throws(Refusal) -> AWSCredentials {
        let found: AWSCredentials?
        do throws(SecretError) {
            let id = try secrets.read(ref, key: "accessKeyId")
            let key = try secrets.read(ref, key: "secretAccessKey")
            let token = try secrets.read(ref, key: "sessionToken")
            found = id.flatMap { id in
                key.map { AWSCredentials(accessKeyID: id, secretAccessKey: $0, sessionToken: token) }
            }
        } catch {
            throw refusal("\(error)")
        }
        guard let found else {
            throw refusal("the secret \(ref) lacks the files accessKeyId and secretAccessKey; put them there")
        }
        return found
    }

    private func refusal(_ message: String) -> Refusal {
        Refusal(verdict: .configuration(Reason(code: "credentials", message: "\(place): \(message)")))
    }
}
