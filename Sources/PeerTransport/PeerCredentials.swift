internal import Crypto
import Glibc
internal import HTTPClient
internal import Model
internal import Synchronization
internal import Threading

/// Authorities, certificate and key of one member, as their directory holds them now.
///
/// 1. They are looked at for every new connection, and made into a new context only when a file has changed.
/// 2. Files that do not fit together are no reason to go on with the old ones: without usable ones there is no new
///    connection, and the error says which file.
/// 3. A revocation list that was there once must not be missing later.
final class PeerCredentials: Sendable {
    /// What a connection is made with.
    struct Material: Sendable {
        let context: TLSContext
        let identity: PeerIdentity
    }

    private struct State {
        var files = PEMFiles()
        var contents: PEMContents?
        var material: Material?
        var hadRevocations = false
    }

    private let directory: String
    private let role: PeerRole
    private let minimum: TLSVersion
    private let state = Mutex(State())

    /// - Parameter role: what the own certificate must be for.
    init(directory: String, role: PeerRole, minimum: TLSVersion) {
        self.directory = directory
        self.role = role
        self.minimum = minimum
    }

    /// The credentials as the files are now. Reads small files on the caller's thread.
    func current() throws(PeerError) -> Material {
        do throws(PeerError) {
            return try attempt()
        } catch {
            // Kubernetes swaps all files at once, and the first look may have fallen on both sides of that moment.
            return try attempt()
        }
    }

    /// When the own certificate ends, seconds since 1970: as the files are now, or were last where they cannot be used,
    /// which is so once it has ended. Reads small files on the caller's thread.
    func expiry() -> Int64? {
        let now = try? current()
        return (now ?? state.withLock { $0.material })?.context.ownCertificate?.notAfter
    }

    private func attempt() throws(PeerError) -> Material {
        let result = state.withLock { state -> Result<Material, PeerError> in
            do throws(PeerError) { return .success(try refresh(&state)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func refresh(_ state: inout State) throws(PeerError) -> Material {
        let list = "\(directory)/crl.pem"
        let hasList = unsafe access(list, F_OK) == 0
        guard hasList || !state.hadRevocations else {
            throw PeerError(
                .credentials,
                "\(list) was there and is gone, and without it revoked certificates would be let in; put it back, or "
                    + "restart if it is meant to be gone")
        }
        state.hadRevocations = hasList
        let found: PEMContents
        do throws(PEMFiles.Unreadable) {
            found = try state.files.contents(
                TLSSettings(
                    caFile: "\(directory)/ca.crt", certificateFile: "\(directory)/tls.crt",
                    keyFile: "\(directory)/tls.key", revocationFile: hasList ? list : nil))
        } catch {
            throw PeerError(
                .credentials,
                "cannot read \(error.path): \(error.why); mutual TLS needs ca.crt, tls.crt and tls.key in \(directory)")
        }
        if let material = state.material, let known = state.contents, Self.isSame(known, found) {
            try requireCurrent(material.context.ownCertificate)
            return material
        }
        let material = try make(found)
        (state.material, state.contents) = (material, found)
        return material
    }

    private func make(_ contents: PEMContents) throws(PeerError) -> Material {
        guard let authorities = contents.authorities, let certificate = contents.certificate, let key = contents.key
        else { throw PeerError(.credentials, "mutual TLS needs ca.crt, tls.crt and tls.key in \(directory)") }
        let context: TLSContext
        do throws(CryptoError) {
            context = try TLSContext(
                peer: role == .coordinator ? .server : .client, authorities: authorities,
                revocations: contents.revocations, certificateChain: certificate, privateKey: key,
                minimum: minimum)
        } catch {
            throw PeerError(.credentials, "the files in \(directory) cannot be used: \(error)")
        }
        let facts = try requireCurrent(context.ownCertificate)
        let identity: PeerIdentity
        do throws(PeerIdentity.Mistake) { identity = try PeerIdentity(facts) } catch {
            throw PeerError(.credentials, "\(directory)/tls.crt is not a certificate of a \(role): \(error.why)")
        }
        guard identity.role == role else {
            throw PeerError(
                .credentials, "\(directory)/tls.crt is for a \(identity.role) (\(identity)), and this is a \(role)")
        }
        return Material(context: context, identity: identity)
    }

    /// Our own certificate, which may have expired since it was read.
    @discardableResult
    private func requireCurrent(_ facts: CertificateFacts?) throws(PeerError) -> CertificateFacts {
        guard let facts else { throw PeerError(.credentials, "\(directory)/tls.crt holds no certificate") }
        guard facts.notAfter > SystemClock.unixMilliseconds() / 1_000 else {
            throw PeerError(
                .credentials,
                "\(directory)/tls.crt (serial \(facts.serial)) has expired; renew it, or set this machine's clock")
        }
        return facts
    }

    /// Bytes of a file that did not change are the same object.
    private static func isSame(_ a: PEMContents, _ b: PEMContents) -> Bool {
        a.authorities === b.authorities && a.revocations === b.revocations && a.certificate === b.certificate
            && a.key === b.key
    }
}
