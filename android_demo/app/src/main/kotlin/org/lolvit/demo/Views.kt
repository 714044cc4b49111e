package org.lolvit.demo

import android.app.Activity
import android.content.Context
import android.view.View

/** A service that every Android has. */
internal inline fun <reified T : Any> Context.service(): T = checkNotNull(getSystemService(T::class.java))

/** The view of that id, which the layout has. The SDK's stubs and the platform differ in its nullability. */
internal fun <T : View> View.child(id: Int): T = findViewById<T>(id)!!

/** As [View.child], in the whole screen. */
internal fun <T : View> Activity.view(id: Int): T = findViewById<T>(id)!!

internal fun View.showIf(shown: Boolean) {
    visibility = if (shown) View.VISIBLE else View.GONE
}
