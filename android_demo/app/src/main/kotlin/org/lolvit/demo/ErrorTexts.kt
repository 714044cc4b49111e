package org.lolvit.demo

import android.content.Context
import org.lolvit.LolvitException
import org.lolvit.LolvitException.Code

/** What a failure of the library means, and what to do: the string of its code with its details filled in. */
internal fun Context.describe(error: LolvitException): String =
    error.details.entries.fold(getString(textOf(error.code))) { text, (name, value) -> text.replace("{$name}", value) }

/** The string of a code: `strings_errors.xml`. */
private fun textOf(code: Code): Int = when (code) {
    Code.MANIFEST_MISSING -> R.string.error_manifest_missing
    Code.MANIFEST_INVALID -> R.string.error_manifest_invalid
    Code.SCHEMA_UNSUPPORTED -> R.string.error_schema_unsupported
    Code.TASK_UNSUPPORTED -> R.string.error_task_unsupported
    Code.SETTING_UNSUPPORTED -> R.string.error_setting_unsupported
    Code.TENSORS_UNSUPPORTED -> R.string.error_tensors_unsupported
    Code.LABELS_MISMATCH -> R.string.error_labels_mismatch
    Code.TASK_MISMATCH -> R.string.error_task_mismatch
    Code.ARTIFACT_MISSING -> R.string.error_artifact_missing
    Code.ARTIFACT_CHANGED -> R.string.error_artifact_changed
    Code.PATH_LEAVES_FOLDER -> R.string.error_path_leaves_folder
    Code.UNREADABLE -> R.string.error_unreadable
    Code.ENGINE_ABSENT -> R.string.error_engine_absent
    Code.COMPUTE_UNIT_ABSENT -> R.string.error_compute_unit_absent
    Code.ENGINE_NOT_EXPORTED -> R.string.error_engine_not_exported
    Code.ENGINE_NOT_PACKAGED -> R.string.error_engine_not_packaged
    Code.ENGINE_UNKNOWN -> R.string.error_engine_unknown
    Code.RUNTIME_UNKNOWN -> R.string.error_runtime_unknown
    Code.ENGINE_INCOMPATIBLE -> R.string.error_engine_incompatible
    Code.RUNTIME_MISMATCH -> R.string.error_runtime_mismatch
    Code.NATIVE_LIBRARY_MISSING -> R.string.error_native_library_missing
    Code.LOAD_FAILED -> R.string.error_load_failed
    Code.RUN_FAILED -> R.string.error_run_failed
    Code.OUT_OF_MEMORY -> R.string.error_out_of_memory
    Code.SELF_CHECK_MISSED -> R.string.error_self_check_missed
    Code.SELF_CHECK_INVALID -> R.string.error_self_check_invalid
    Code.ALL_ENGINES_FAILED -> R.string.error_all_engines_failed
    Code.OUTPUT_MISMATCH -> R.string.error_output_mismatch
    Code.OUTPUT_NOT_FINITE -> R.string.error_output_not_finite
    Code.PHOTO_UNDECODABLE -> R.string.error_photo_undecodable
    Code.PHOTO_UNAVAILABLE -> R.string.error_photo_unavailable
    Code.PHOTO_TOO_ELONGATED -> R.string.error_photo_too_elongated
}
