import ExportCore
import HTTPClient

/// What must be true of a bucket before the first record goes there, in the order it is asked.
enum S3BucketCheck: CaseIterable, Sendable {
    /// Object Lock is on.
    case objectLock
    /// Versioning is on, which Object Lock implies at AWS, and not everywhere.
    case versioning
    /// An upload can be begun with our encryption and lock: KMS can be used, and writing and locking are allowed.
    case rehearsal

    /// What a check says.
    enum Finding: Sendable, Equatable {
        /// As it should be.
        case passed
        /// The rehearsal has begun and has to be taken back.
        case begun(upload: String)
        /// As it must not be, or not to be learnt.
        case refused(Verdict)
    }

    /// Reads the answer.
    func finding(_ response: HTTPResponse, bucket: String, at place: String) -> Finding {
        switch self {
        case .objectLock:
            let isOn = value("ObjectLockEnabled", response) == "Enabled"
            let isAbsent = S3Error(response.body).code == "ObjectLockConfigurationNotFoundError"
            if response.status == 200 || isAbsent { return isOn ? .passed : .refused(unlocked(bucket, place)) }
            return .refused(named("s3:GetBucketObjectLockConfiguration", response, place))
        case .versioning:
            guard response.status == 200 else {
                return .refused(named("s3:GetBucketVersioning", response, place))
            }
            if value("Status", response) == "Enabled" { return .passed }
            return .refused(
                configuration(
                    "s3-no-versioning",
                    "\(place): the bucket has no versioning, so objects could be replaced; turn it on: aws s3api"
                        + " put-bucket-versioning --bucket \(bucket) --versioning-configuration Status=Enabled"))
        case .rehearsal:
            if response.status == 200, let id = value("UploadId", response), !id.isEmpty {
                return .begun(upload: id)
            }
            // A server that knows no uploads in parts shows at the first object what it can.
            if [405, 501].contains(response.status) { return .passed }
            return .refused(S3Verdict.of(response, at: place).verdict)
        }
    }

    /// The text of an element right below the root, whose name differs from server to server.
    private func value(_ name: String, _ response: HTTPResponse) -> String? {
        guard response.status == 200 else { return nil }
        return S3XML.leaves(response.body)?.first { leaf in
            let steps = leaf.path.split(separator: "/")
            return steps.count == 2 && steps[1] == name
        }?.text
    }

    private func unlocked(_ bucket: String, _ place: String) -> Verdict {
        configuration(
            "s3-no-object-lock",
            "\(place): the bucket has no Object Lock, so records could be deleted before their time; nothing is sent."
                + " Turn it on (aws s3api put-object-lock-configuration --bucket \(bucket)"
                + " --object-lock-configuration ObjectLockEnabled=Enabled), or name a bucket made with"
                + " --object-lock-enabled-for-bucket")
    }

    private func configuration(_ code: String, _ message: String) -> Verdict {
        .configuration(Reason(code: code, message: message))
    }

    /// A check that is not allowed is not passed: which permission it takes is said first.
    private func named(_ permission: String, _ response: HTTPResponse, _ place: String) -> Verdict {
        let answer = S3Verdict.of(response, at: place)
        let error = S3Error(response.body)
        guard case .unauthorized(_, .configuration) = answer, error.code == "AccessDenied" || error.code.isEmpty else {
            return answer.verdict
        }
        let words = error.message.isEmpty ? "" : " (\(error.message))"
        return configuration(
            "s3-AccessDenied",
            "\(place) does not let the bucket be checked\(words): allow \(permission), so that it can be proved that"
                + " records are locked")
    }
}
