public import ExportCore
public import Formats
public import HTTPClient
public import Model
public import Secrets

/// Makes the receiver that a target's settings describe.
public struct BackendFactory: Sendable {
    /// Shared by all targets.
    public var client: HTTPClient
    /// Where credentials lie.
    public var secrets: SecretDirectory
    /// What records are stamped with.
    public var stamp: ExportStamp
    /// Where credentials for AWS come from, if not from a secret.
    public var environment: AWSEnvironment
    /// Told of what does not stop a delivery and should be looked at.
    public var warn: Warn

    /// Takes a target's name and what is wrong.
    public typealias Warn = @Sendable (_ target: String, Reason) -> Void

    /// A factory for one process.
    public init(
        client: HTTPClient, secrets: SecretDirectory, stamp: ExportStamp, environment: AWSEnvironment = .current(),
        warn: @escaping Warn = { _, _ in }
    ) {
        self.client = client
        self.secrets = secrets
        self.stamp = stamp
        self.environment = environment
        self.warn = warn
    }

    /// The writer and the receiver.
    public func make(
        _ target: Target, committed: OutputFile?, recorded: @escaping FileBackend.Recorded = { nil },
        announce: @escaping FileBackend.Announce
    ) -> (writer: RecordWriter, backend: any Backend) {
        let encoder = FormatEncoder(target.format, stamp: stamp, options: target.formatOptions)
        switch target.backend {
        case .splunk:
            let builder = SplunkRequestBuilder(target: target, encoder: encoder, cluster: stamp.cluster)
            let backend = SplunkBackend(target: target, builder: builder, client: client, secrets: secrets)
            return (.splunk(builder), backend)
        case .elasticsearch:
            let builder = ElasticsearchRequestBuilder(target: target, encoder: encoder)
            let backend = ElasticsearchBackend(target: target, builder: builder, client: client, secrets: secrets)
            return (.elasticsearch(builder), backend)
        case .file:
            let builder = FileRequestBuilder(target: target, encoder: encoder)
            let backend = FileBackend(
                target: target, builder: builder, committed: committed, recorded: recorded, announce: announce)
            return (.file(builder), backend)
        case .s3:
            let builder = S3RequestBuilder(target: target, encoder: encoder, cluster: stamp.cluster)
            let name = target.name
            let backend = S3Backend(
                target: target, builder: builder, client: client, secrets: secrets, environment: environment,
                warn: { [warn] in warn(name, $0) })
            return (.s3(builder), backend)
        case .syslog:
            let builder = SyslogRequestBuilder(target: target, encoder: encoder, stamp: stamp)
            return (.syslog(builder), SyslogBackend(target: target, secrets: secrets))
        }
    }
}
