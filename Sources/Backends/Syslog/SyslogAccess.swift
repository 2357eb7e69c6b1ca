import Crypto
import HTTPClient
import Model
import Secrets

/// What a connection trusts and shows, from the files of the target's secret. For the loop's thread only.
///
/// The files are looked at before every parcel: a connection made with other ones takes no more.
struct SyslogAccess {
    /// The settings of connections that were made with the same files.
    struct Material {
        /// Nil for plain TCP.
        let context: TLSContext?
        let hasClientCertificate: Bool
        /// Counts the changes of the files.
        let generation: Int
    }

    let secrets: SecretDirectory
    let secretRef: String?
    let isTLS: Bool
    private var files = PEMFiles()
    private var contents: PEMContents?
    private var known: Material?
    private var generation = 0

    init(secrets: SecretDirectory, secretRef: String?, isTLS: Bool) {
        self.secrets = secrets
        self.secretRef = secretRef
        self.isTLS = isTLS
    }

    /// The settings as the files are now.
    mutating func material() throws(SyslogFailure) -> Material {
        guard isTLS else { return Material(context: nil, hasClientCertificate: false, generation: 0) }
        var found = PEMContents()
        if let secretRef {
            let settings = try settings(secretRef)
            if settings.revocationFile != nil, settings.caFile == nil {
                throw Self.local("the secret holds crl.pem without the authorities it belongs to, ca.crt")
            }
            do throws(PEMFiles.Unreadable) {
                found = try files.contents(settings)
            } catch {
                let advice = "Check that the secret has this key and is mounted"
                throw Self.local("cannot read \(error.path): \(error.why). \(advice)")
            }
        }
        if let known, let contents, Self.isSame(contents, found) { return known }
        do throws(CryptoError) {
            let context = try TLSContext(
                client: found.authorities, revocations: found.revocations,
                certificateChain: found.certificate, privateKey: found.key)
            generation += 1
            let made = Material(
                context: context, hasClientCertificate: found.certificate != nil, generation: generation)
            (known, contents) = (made, found)
            return made
        } catch {
            throw Self.local("a file of the target's secret is unusable. \(error)")
        }
    }

    private func settings(_ ref: String) throws(SyslogFailure) -> TLSSettings {
        do throws(SecretError) {
            return TLSSettings(
                caFile: try secrets.path(ref, key: "ca.crt"), certificateFile: try secrets.path(ref, key: "tls.crt"),
                keyFile: try secrets.path(ref, key: "tls.key"),
                revocationFile: try secrets.path(ref, key: "crl.pem"))
        } catch {
            throw Self.local("\(error)")
        }
    }

    private static func local(_ words: String) -> SyslogFailure {
        SyslogFailure(kind: .tls(.localFile), words: words)
    }

    /// Bytes of a file that did not change are the same object.
    private static func isSame(_ a: PEMContents, _ b: PEMContents) -> Bool {
        a.authorities === b.authorities && a.revocations === b.revocations && a.certificate === b.certificate
            && a.key === b.key
    }
}
