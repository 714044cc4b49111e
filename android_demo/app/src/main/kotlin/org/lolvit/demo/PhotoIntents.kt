package org.lolvit.demo

import android.content.Intent
import android.net.Uri
import android.os.Build
import android.provider.MediaStore

/** The ways to choose a photo, the best first: the system's picker needs no permission, and shows photos alone. */
internal fun choosePhoto(): List<Intent> = listOfNotNull(
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) Intent(MediaStore.ACTION_PICK_IMAGES).setType("image/*") else null,
    Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"),
    Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"),
)

/** Lets the camera app write a photo to [target]. */
internal fun takePhoto(target: Uri): Intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE)
    .putExtra(MediaStore.EXTRA_OUTPUT, target)
    .addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
