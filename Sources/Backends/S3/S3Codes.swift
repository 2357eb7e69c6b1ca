/// The error codes of S3 ("Error responses", Amazon S3 API Reference) that are not what their status says, or that a
/// person needs help with.
enum S3Codes {
    /// Passes by itself.
    static func isTransient(_ code: String) -> Bool { transient.contains(code) || code.contains("Throttl") }

    private static let transient: Set = [
        "SlowDown", "InternalError", "ServiceUnavailable", "Busy", "RequestTimeout", "RequestLimitExceeded",
        "RequestThrottled", "TooManyRequests", "TooManyRequestsException", "BandwidthLimitExceeded",
        "EC2ThrottledException", "PriorRequestNotComplete", "TransactionInProgressException", "OperationAborted",
        "ConditionalRequestConflict", "ServerBusy", "KMS.KMSInternalException", "KMS.DependencyTimeoutException",
        // Bytes were changed or lost on the way; nothing was stored.
        "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch",
    ]

    /// The credentials have ended; new ones may do.
    static let expired: Set = ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"]

    /// The credentials are not known, or belong together no more: rotated ones may do.
    static let refusedCredentials: Set = [
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "AccessDenied",
    ]

    static let skewed: Set = ["RequestTimeTooSkewed", "RequestInTheFuture"]

    /// What to do about `code`.
    static func advice(_ code: String) -> String {
        switch code {
        case "NoSuchBucket": "make the bucket, or mend `bucket`"
        case "AccessDenied", "AllAccessDisabled":
            "the role or user needs s3:PutObject, s3:PutObjectRetention, s3:GetObject, s3:GetObjectRetention,"
                + " s3:AbortMultipartUpload, s3:GetBucketObjectLockConfiguration and s3:GetBucketVersioning on the bucket,"
                + " kms:GenerateDataKey and kms:Decrypt on the key; if `expectedBucketOwner` is set, the bucket must be"
                + " that account's"
        case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId":
            "check the credentials; both keys must belong together"
        case "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect",
            "TemporaryRedirect", "InvalidRegion":
            "set `region` and `endpoint` to those of the bucket"
        case "InvalidBucketName": "mend `bucket`"
        case "KeyTooLongError": "shorten `prefix` or `global.clusterName`"
        case "NotImplemented": "this server lacks what an audit record needs; use one with SSE-KMS and Object Lock"
        case "InvalidRetentionPeriod": "lower `retentionDays` to what the bucket allows"
        case _ where code.hasPrefix("KMS."):
            "check `kmsKeyId`: the key must exist in the bucket's region, be enabled, and allow kms:GenerateDataKey and"
                + " kms:Decrypt"
        default: ""
        }
    }
}
